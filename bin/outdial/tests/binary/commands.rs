//! Commands that end by themselves.

use outdial_domain::ApiKeyToken;

use crate::program::{Folder, stderr, stdout};

#[test]
fn help_names_every_command() {
    let folder = Folder::new();
    let help = folder.run(&["--help"]);
    assert!(help.status.success());
    for command in ["serve", "demo", "keys", "export", "import", "check-config", "doctor"] {
        assert!(stdout(&help).contains(&format!("\n  {command} ")), "{}", stdout(&help));
    }
    let version = stdout(&folder.run(&["--version"]));
    assert_eq!(version, format!("outdial {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn check_config_tells_values_and_origins() {
    let folder = Folder::new();
    folder.write("outdial.toml", "[secrets]\nmaster_key = \"\"\n[calls]\nmax_duration = \"10m\"\n");
    let mut command = folder.command(&["check-config"]);
    for (name, value) in [("URL", "ws://h"), ("API_KEY", "k"), ("API_SECRET", "hush")] {
        command.env(format!("OUTDIAL_LIVEKIT__{name}"), value);
    }
    let checked = command.output().unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
    let text = stdout(&checked);
    assert!(!text.contains("hush"), "{text}");
    let has = |value: &str, origin: &str| {
        let found = text.lines().any(|line| line.starts_with(value) && line.ends_with(origin));
        assert!(found, "{value} {origin}\n{text}");
    };
    has("livekit.api_secret = \"***\"", "# OUTDIAL_LIVEKIT__API_SECRET");
    has("calls.max_duration = \"10m\"", "# outdial.toml");
    has("agent.join_timeout = \"10s\"", "# default");
}

#[test]
fn what_check_config_prints_is_itself_a_settings_file() {
    let folder = Folder::new();
    let printed = stdout(&folder.run(&["check-config"]));
    folder.write("again.toml", &printed);
    let again = folder.run(&["check-config", "--config", "again.toml"]);
    assert!(again.status.success(), "{}", stderr(&again));
}

#[test]
fn wrong_settings_end_every_command_that_needs_them() {
    let folder = Folder::new();
    folder.write("outdial.toml", "[server]\nbindd = \"x\"\n");
    for arguments in [&["serve"][..], &["check-config"], &["keys", "create", "--account", "a"]] {
        let output = folder.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let expect =
            "error: server.bindd (outdial.toml) is no setting; did you mean server.bind?\n";
        assert_eq!(stderr(&output), expect, "{arguments:?}");
    }
    let doctor = folder.run(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(stdout(&doctor).starts_with("fail  settings"), "{}", stdout(&doctor));
}

#[test]
fn a_created_key_is_all_that_is_printed() {
    let folder = Folder::new();
    let arguments = ["keys", "create", "--account", "acme", "--name", "crm", "--admin"];
    let made = folder.run(&arguments);
    assert!(made.status.success(), "{}", stderr(&made));
    let text = stdout(&made);
    assert_eq!(text.lines().count(), 1);
    text.trim_end().parse::<ApiKeyToken>().unwrap();
    assert_eq!(stderr(&made), "");

    let nameless = folder.run(&["keys", "create", "--account", " "]);
    assert_eq!(nameless.status.code(), Some(1));
    assert!(stderr(&nameless).contains("--account must be 1 to 100 characters"));
}

#[test]
fn the_demo_truly_happens() {
    let folder = Folder::new();
    // The demo goes by its own settings.
    folder.write("outdial.toml", "nonsense = 1");
    let demo = folder.run(&["demo", "--time-scale", "0.02"]);
    let text = stdout(&demo);
    assert!(demo.status.success(), "{text}\n{}", stderr(&demo));
    assert_eq!(text.matches("\n  ok      ").count(), 9, "{text}");
    let recording = text.lines().find_map(|line| line.trim().strip_suffix(".ogg")).unwrap();
    std::fs::remove_file(format!("{recording}.ogg")).expect("the recording stays");
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    assert_eq!(stderr(&demo), "");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing but the settings file is in the working directory");
}

#[test]
fn the_doctor_finds_a_new_folder_healthy() {
    let folder = Folder::new();
    let healthy = folder.run(&["doctor"]);
    let text = stdout(&healthy);
    assert!(healthy.status.success(), "{text}");
    for (mark, what) in [
        ("ok  ", "data_dir"),
        ("ok  ", "store"),
        ("warn", "livekit"),
        ("warn", "sip"),
        ("ok  ", "webhooks"),
    ] {
        assert!(text.contains(&format!("{mark}  {what}")), "{text}");
    }
}

#[test]
fn the_doctor_finds_what_is_broken() {
    let folder = Folder::new();
    folder.write("data", "a file where the folder should be");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = folder.command(&["doctor"]);
    let livekit = format!("ws://{closed}");
    for (name, value) in [("URL", &*livekit), ("API_KEY", "k"), ("API_SECRET", "hush")] {
        command.env(format!("OUTDIAL_LIVEKIT__{name}"), value);
    }
    let broken = command.output().unwrap();
    let text = stdout(&broken);
    assert_eq!(broken.status.code(), Some(1), "{text}");
    for what in ["data_dir", "store", "livekit"] {
        assert!(text.contains(&format!("fail  {what}")), "{text}");
    }
    assert!(!text.contains("hush"), "{text}");
}
