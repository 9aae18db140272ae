//! Dials one leg and prints what becomes of it, to see what a trunk does:
//!
//! ```sh
//! export LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=…
//! cargo run -p outdial-twilio --example dial -- \
//!     address=acme.pstn.twilio.com from=+15550100000 to=+15550199999
//! ```
//!
//! More settings: `transport=tcp|tls`, `user=…`, `password=…`, `ring=SECONDS` (how long it may
//! ring), `hang_up=SECONDS` (after the dial), `watch=SECONDS` (after the dial, default 60),
//! `dtmf=DIGITS` (sent as soon as it is answered).
#![expect(clippy::print_stdout, reason = "printing is what this example does")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outdial_domain::ports::{DialRequest, HintSink, Provider, Rooms, TrunkAccess};
use outdial_domain::{
    AssistantId, CallService, Digits, E164, Hint, RoomName, Secret, SipTransport,
};
use outdial_livekit::{LiveKit, LiveKitConfig};
use outdial_room::{Media, MediaConfig};
use outdial_twilio::Twilio;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: HashMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.split_once('=').map(|(k, v)| (k.into(), v.into())))
        .collect();
    let livekit = Arc::new(LiveKit::new(LiveKitConfig::new(
        std::env::var("LIVEKIT_URL")?,
        std::env::var("LIVEKIT_API_KEY")?,
        Secret::new(std::env::var("LIVEKIT_API_SECRET")?),
    ))?);
    livekit.check().await?;
    let request = request(&args)?;
    let (room, identity) = (request.room_name.clone(), request.participant_identity.clone());
    livekit.create(&room).await?;

    let twilio = Twilio::new(Arc::clone(&livekit), Media::start(MediaConfig::default())?);
    let (sink, mut hints) = HintSink::channel(16);
    let begun = Instant::now();
    let dialed = twilio.dial(request, sink).await;
    println!("{:>6} ms  dial: {dialed:?}", begun.elapsed().as_millis());

    let digits = args.get("dtmf").map(|text| text.parse::<Digits>()).transpose()?;
    let hang_up = seconds(&args, "hang_up").unwrap_or(Duration::from_secs(3600));
    let watch = tokio::time::sleep(seconds(&args, "watch").unwrap_or(Duration::from_secs(60)));
    let hang_up = tokio::time::sleep(hang_up);
    tokio::pin!(watch, hang_up);
    let mut hung_up = dialed.is_err();
    loop {
        tokio::select! {
            hint = hints.recv() => match hint {
                Some(Hint::Joined { .. }) => println!("{:>6} ms  Joined", begun.elapsed().as_millis()),
                Some(Hint::Answered { .. }) => {
                    println!("{:>6} ms  Answered", begun.elapsed().as_millis());
                    if let Some(digits) = &digits {
                        let sent = twilio.send_dtmf(&room, &identity, digits).await;
                        println!("{:>6} ms  send_dtmf: {sent:?}", begun.elapsed().as_millis());
                    }
                }
                Some(hint) => println!("{:>6} ms  {hint:?}", begun.elapsed().as_millis()),
                None => break,
            },
            () = &mut hang_up, if !hung_up => {
                hung_up = true;
                let done = twilio.hang_up(&room, &identity).await;
                println!("{:>6} ms  hang_up: {done:?}", begun.elapsed().as_millis());
            }
            () = &mut watch => break,
        }
    }
    let look = twilio.look(&room, &identity).await;
    println!("{:>6} ms  look: {look:?}", begun.elapsed().as_millis());
    livekit.delete(&room).await?;
    twilio.shutdown().await;
    Ok(())
}

fn seconds(args: &HashMap<String, String>, name: &str) -> Option<Duration> {
    let seconds: f64 = args.get(name)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn request(args: &HashMap<String, String>) -> Result<DialRequest, Box<dyn Error>> {
    let get = |name: &str| args.get(name).ok_or(format!("{name}= is missing"));
    let to_number: E164 = get("to")?.parse()?;
    let transport = match args.get("transport").map(String::as_str) {
        Some("tcp") => SipTransport::Tcp,
        Some("tls") => SipTransport::Tls,
        _ => SipTransport::Udp,
    };
    Ok(DialRequest {
        room_name: RoomName::new(CallService::Twilio, AssistantId::random(), &to_number),
        participant_identity: format!("phone-{to_number}"),
        from_number: Some(get("from")?.parse()?),
        to_number,
        trunk: TrunkAccess {
            auth_username: args.get("user").cloned(),
            auth_password: args.get("password").map(Secret::new),
            ..TrunkAccess::at(Some(get("address")?.parse()?), transport)
        },
        ringing_timeout: seconds(args, "ring").unwrap_or(Duration::from_secs(45)),
        max_duration: Duration::from_secs(3600),
    })
}
