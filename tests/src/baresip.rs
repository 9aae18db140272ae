//! A phone that knows nothing of sipp nor of us: baresip.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::phone::{is_taken, ports};
use crate::{Sound, Transport, until};

/// Behind the port for SIP; the one in between is for TLS.
const CONTROL: u16 = 2;
/// Each takes so many ports for SIP and the like.
const PORTS: u16 = 3;

/// A phone that picks up by itself and holds a tone; it writes down what it hears.
#[derive(Debug)]
pub struct Baresip {
    port: u16,
    process: Child,
    folder: TempDir,
}

impl Baresip {
    /// A phone of this number, as the INVITE's URI has it, that holds a tone of so many Hz.
    pub async fn start(number: &str, hz: u32) -> Self {
        Self::with(number, hz, None).await
    }

    /// One that insists on SRTP, with the PEM file of a key and its certificate for TLS.
    pub async fn encrypted(number: &str, hz: u32, certificate: &Path) -> Self {
        Self::with(number, hz, Some(certificate)).await
    }

    async fn with(number: &str, hz: u32, certificate: Option<&Path>) -> Self {
        let (port, media) = (free_ports(), ports().1);
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        let (here, control) = (folder.path().display(), port + CONTROL);
        let account = format!("<sip:{number}@127.0.0.1>;regint=0;answermode=auto");
        let (media_encryption, tls) = match certificate {
            Some(file) => (
                ";mediaenc=srtp-mand",
                format!("module srtp.so\nsip_certificate {}\n", file.display()),
            ),
            None => ("", String::new()),
        };
        let account = format!("{account};audio_codecs=pcma,pcmu{media_encryption}\n");
        write("accounts", account).unwrap();
        write("contacts", String::new()).unwrap();
        write(
            "config",
            format!(
                "sip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\nrtp_ports {media}-{}\n\
                 audio_source ausine,{hz}\nausrc_srate 48000\nausrc_channels 2\n\
                 auplay_srate 8000\nauplay_channels 1\nausrc_format s16\nauplay_format s16\n\
                 auenc_format s16\naudec_format s16\nmodule_path {}\nmodule g711.so\n\
                 module ausine.so\nmodule sndfile.so\nsnd_path {here}\nmodule_tmp account.so\n\
                 module_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n\
                 {tls}",
                media + 19,
                modules().display(),
            ),
        )
        .unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("baresip");
        command.args(["-s", "-f"]).arg(folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().expect("baresip is installed");
        let phone = Self { port, process, folder };
        until(
            "baresip to listen",
            async || {
                if is_taken(control) { Ok(()) } else { Err(phone.log()) }
            },
        )
        .await;
        phone
    }

    /// `host:port`, for a trunk.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` for TLS.
    pub fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 1)
    }

    /// All SIP messages and what else it tells.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until it has told this.
    pub async fn tells(&self, words: &str) {
        until(words, async || if self.log().contains(words) { Ok(()) } else { Err(self.log()) })
            .await;
    }

    /// Whether its messages went this way.
    pub fn talked_over(&self, transport: Transport) -> bool {
        self.log().contains(&format!("SIP/2.0/{}", transport.as_str().to_uppercase()))
    }

    /// Hangs up.
    pub fn hang_up(&self) {
        self.command("hangup");
    }

    fn command(&self, command: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + CONTROL)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let text = json!({"command": command, "params": "", "token": "ours"}).to_string();
        // A netstring.
        write!(stream, "{}:{text},", text.len()).unwrap();
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = Vec::new();
            stream.read_until(b':', &mut length).unwrap();
            length.pop();
            let length: usize = String::from_utf8(length).unwrap().parse().expect("an answer");
            let mut body = vec![0; length + 1];
            stream.read_exact(&mut body).unwrap();
            let answer: Value = serde_json::from_slice(&body[..length]).unwrap();
            // Events come in between.
            if answer["response"] == true {
                return assert_eq!(answer["ok"], true, "{answer}");
            }
        }
    }

    /// What it has heard, once its call is over.
    pub fn heard(&self) -> Sound {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let is_heard = |path: &PathBuf| path.to_string_lossy().ends_with("-dec.wav");
        let file = files.into_iter().find(is_heard).expect("a file of what was heard");
        let wave = std::fs::read(file).unwrap();
        let data = wave.windows(4).position(|word| word == b"data").expect("a WAV file") + 8;
        let samples = wave[data..].chunks_exact(2);
        let samples = samples.map(|two| i16::from_le_bytes([two[0], two[1]]));
        Sound::of_phone(&samples.collect::<Vec<_>>())
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- baresip's log\n{}", self.log());
        }
    }
}

/// The first of those that one phone takes; above those of the sipp phones.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(15_500);
    loop {
        let port = NEXT.fetch_add(PORTS, Ordering::Relaxed);
        if !(port..port + PORTS).any(is_taken) {
            return port;
        }
    }
}

/// Where Debian has its modules.
fn modules() -> PathBuf {
    let places = ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"];
    let mut places = places.into_iter().map(PathBuf::from);
    places.find(|place| place.is_dir()).expect("baresip's modules")
}
