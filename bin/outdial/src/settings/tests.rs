use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a file and variables come to.
fn load(file: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    explain(file, variables).map(|(settings, _)| settings)
}

fn explain(
    file: &str,
    variables: &[(&str, &str)],
) -> Result<(Settings, Vec<Effective>), SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    if !file.is_empty() {
        std::fs::write(folder.path().join("outdial.toml"), file).unwrap();
    }
    Settings::explain(&Sources {
        file: None,
        folder: folder.path().to_owned(),
        variables: variables.iter().map(|(k, v)| (k.into(), v.into())).collect(),
    })
}

/// The one problem there is.
fn problem(file: &str, variables: &[(&str, &str)]) -> String {
    let problems = load(file, variables).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn the_defaults_are_whole_and_none_is_dead() {
    let entries = layers::defaults().unwrap();
    let reader = Reader::new(&entries);
    sections::read(&reader).unwrap();
    let (problems, asked, _) = reader.finish();
    assert_eq!(problems, Vec::<String>::new());
    let known: BTreeSet<_> = entries.keys().map(String::as_str).collect();
    assert_eq!(asked, known);
}

#[test]
fn the_defaults_are_those_of_the_parts() {
    let settings = Settings::defaults().unwrap();
    assert_eq!(settings.policy(), outdial_engine::Policy::default());
    let limit = outdial_api::RateLimit::default();
    assert_eq!(settings.api.requests_per_second, Some(limit.per_second));
    assert_eq!(settings.api.burst, limit.burst);
    let webhooks = outdial_webhooks::SenderSettings::default();
    assert_eq!(settings.webhooks.timeout, webhooks.timeout);
    assert_eq!(settings.webhooks.dangerous_allow_private, webhooks.dangerous_allow_private);
}

#[test]
fn the_environment_goes_before_the_file_and_that_before_the_defaults() {
    let file = "data_dir = \"/x\"\n[server]\nbind = \"1.1.1.1:1\"\n";
    let variables = [("OUTDIAL_SERVER__BIND", "2.2.2.2:2"), ("OUTDIAL_DATA_DIR", "")];
    let (settings, effective) = explain(file, &variables).unwrap();
    assert_eq!(settings.server.bind.to_string(), "2.2.2.2:2");
    assert_eq!(settings.data_dir.to_str(), Some("/x"), "an empty variable is not set");
    assert_eq!(settings.calls.ringing_timeout, Duration::from_secs(60));
    let origin = |key| effective.iter().find(|e| e.key == key).unwrap().origin.to_string();
    assert_eq!(origin("server.bind"), "environment variable OUTDIAL_SERVER__BIND");
    assert_eq!(origin("data_dir"), "outdial.toml");
    assert_eq!(origin("calls.ringing_timeout"), "default");
}

#[test]
fn values_in_the_environment_are_read_by_their_type() {
    let settings = load(
        "",
        &[
            ("OUTDIAL_WEBHOOKS__RETRIES", "1s, 2m"),
            ("OUTDIAL_WEBHOOKS__DANGEROUS_ALLOW_PRIVATE", "true"),
            ("OUTDIAL_SANDBOX__TIME_SCALE", "0.5"),
            ("OUTDIAL_API__BURST", "7"),
            ("OUTDIAL_LIVEKIT__URL", "ws://127.0.0.1:7880"),
            ("OUTDIAL_LIVEKIT__API_KEY", "0123"),
            ("OUTDIAL_LIVEKIT__API_SECRET", "true"),
        ],
    )
    .unwrap();
    assert_eq!(settings.webhooks.retries, [1, 120].map(Duration::from_secs));
    assert!(settings.webhooks.dangerous_allow_private);
    assert!((settings.sandbox.time_scale - 0.5).abs() < f64::EPSILON);
    assert_eq!(settings.api.burst.get(), 7);
    let livekit = settings.livekit.unwrap();
    assert_eq!(livekit.api_key, "0123", "a text stays as it was written");
    assert_eq!(livekit.api_secret.expose(), "true");
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    for (file, expect) in [
        (
            "[server]\nbindd = 1",
            "server.bindd (outdial.toml) is no setting; did you mean server.bind?",
        ),
        ("bind = 1", "bind (outdial.toml) is no setting; did you mean server.bind?"),
        (
            "[calls]\nringing-timeout = 1",
            "calls.ringing-timeout (outdial.toml) is no setting; did you mean calls.ringing_timeout?",
        ),
        ("[zzz]", "zzz (outdial.toml) is no setting; docs/configuration.md lists them all"),
        ("server = 1", "server (outdial.toml) is a section, not a setting: name one of its keys"),
    ] {
        assert_eq!(problem(file, &[]), expect);
    }
    for (variable, expect) in [
        ("OUTDIAL_SERVER_BIND", "did you mean OUTDIAL_SERVER__BIND?"),
        ("OUTDIAL_LIVEKIT__APIKEY", "did you mean OUTDIAL_LIVEKIT__API_KEY?"),
        ("OUTDIAL_X__Y", "docs/configuration.md lists them all"),
    ] {
        let problem = problem("", &[(variable, "1")]);
        assert_eq!(problem, format!("{variable} (environment) is no setting; {expect}"));
    }
    load("[server]\n", &[]).unwrap();
}

#[test]
fn other_programs_variables_are_left_alone() {
    let variables = [
        ("OUTDIAL_CONFIG", ""),
        ("OUTDIAL_SERVICE_HOST", "10.0.0.1"),
        ("OUTDIAL_SERVICE_PORT_HTTP", "8000"),
        ("OUTDIAL_PORT", "tcp://10.0.0.1:8000"),
        ("OUTDIAL_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("OUTDIALER_X", "1"),
        ("outdial_x", "1"),
    ];
    load("", &variables).unwrap();
}

#[test]
fn wrong_values_name_key_place_rule_and_fix() {
    for (file, expect) in [
        (
            "[server]\nbind = \"localhost\"",
            "server.bind = \"localhost\" (outdial.toml): must be an IP address and a port, like",
        ),
        ("[server]\nbind = 8000", "server.bind = 8000 (outdial.toml): must be a text in quotes"),
        (
            "[calls]\nringing_timeout = 60",
            "calls.ringing_timeout = 60 (outdial.toml): must be a duration in quotes: a number and",
        ),
        (
            "[calls]\nringing_timeout = \"2m\"",
            "calls.ringing_timeout = \"2m\" (outdial.toml): must be from 1s to 1m 10s",
        ),
        (
            "[webhooks]\nretries = [\"5s\", \"x\"]",
            "webhooks.retries = [\"5s\", \"x\"] (outdial.toml): each item must be a duration",
        ),
        ("[webhooks]\nretries = 3", "webhooks.retries = 3 (outdial.toml): must be a list like"),
        (
            "[webhooks]\ndangerous_allow_private = \"true\"",
            "webhooks.dangerous_allow_private = \"true\" (outdial.toml): must be true or false",
        ),
        (
            "[sandbox]\ntime_scale = -1",
            "sandbox.time_scale = -1 (outdial.toml): must be a number from 0 to 1000",
        ),
        ("[api]\nburst = 0", "api.burst = 0 (outdial.toml): must be a whole number from 1 to"),
        ("[api]\nburst = 1.5", "api.burst = 1.5 (outdial.toml): must be a whole number from 1 to"),
        ("[log]\nformat = \"xml\"", "log.format = \"xml\" (outdial.toml): must be \"text\" or"),
        ("[log]\nfilter = \"a=b=c\"", "log.filter = \"a=b=c\" (outdial.toml): "),
        (
            "[store]\nurl = \"mysql:x\"",
            "store.url = \"mysql:x\" (outdial.toml): must be \"sqlite:\"",
        ),
        (
            "[store]\nurl = \"sqlite::memory:\"",
            "store.url = \"sqlite::memory:\" (outdial.toml): mu",
        ),
        (
            "[server]\npublic_url = \"example.com\"",
            "server.public_url = \"example.com\" (outdial.toml): must be a URL like",
        ),
        (
            "[recordings]\nurl = \"/var/rec\"",
            "recordings.url = \"/var/rec\" (outdial.toml): must be \"file:\"",
        ),
        (
            "[recordings]\nurl = \"s3:bucket\"",
            "recordings.url = \"s3:bucket\" (outdial.toml): must be \"file:\"",
        ),
        (
            "[recordings]\ns3_endpoint = \"minio\"",
            "recordings.s3_endpoint = \"minio\" (outdial.toml): must be a URL like",
        ),
        (
            "[recordings]\ns3_access_key = \"AK\"",
            "recordings.s3_secret_key is missing: recordings.s3_access_key is set",
        ),
        (
            "[livekit]\nmedia_ip = \"eth0\"",
            "livekit.media_ip = \"eth0\" (outdial.toml): must be an IP address",
        ),
        (
            "[sip]\npublic_ip = \"0.0.0.0\"",
            "sip.public_ip = \"0.0.0.0\" (outdial.toml): must be the IP address under which",
        ),
        ("[sip]\nbind = \"eth0\"", "sip.bind = \"eth0\" (outdial.toml): must be an IP address"),
        (
            "[sip]\nudp_port = 70000",
            "sip.udp_port = 70000 (outdial.toml): must be a whole number from 0 to 65535",
        ),
        (
            "[sip]\nrtp_ports = \"31001-31999\"",
            "sip.rtp_ports = \"31001-31999\" (outdial.toml): must be two ports from 1024 to",
        ),
        (
            "[sip]\ntls_port = 5061\ntls_key = \"k\"",
            "sip.tls_certificate is missing: sip.tls_port is set",
        ),
        (
            "[sip]\nmedia_timeout = \"0\"",
            "sip.media_timeout = \"0\" (outdial.toml): must be from 1s to 1h",
        ),
        (
            "[store]\nurl = \"mongodb://u:hu@sh@h\"",
            "store.url = \"mongodb://u:***@h\" (outdial.toml): must have the characters",
        ),
        (
            "[store]\nmax_connections = 0",
            "store.max_connections = 0 (outdial.toml): must be a whole number from 1 to 1000",
        ),
        (
            "[store]\ntimeout = \"2m\"",
            "store.timeout = \"2m\" (outdial.toml): must be from 100ms to 1m",
        ),
        (
            "[store]\nurl = \"mongodb://h\"\n[node]\nlease = \"4s\"",
            "node.lease is 4s and store.timeout 5s: the lease must be longer",
        ),
        ("[node]\nlease = \"1s\"", "node.lease = \"1s\" (outdial.toml): must be from 3s to 10m"),
        ("[node]\nid = \"x\"", "node.id = \"x\" (outdial.toml): a node id is ND_"),
        ("data_dir = \"\"", "data_dir = \"\" (outdial.toml): must name a folder"),
    ] {
        let problem = problem(file, &[]);
        assert!(problem.starts_with(expect), "{problem}\n{expect}");
    }
    let variable = problem("", &[("OUTDIAL_API__BURST", "many")]);
    let expect = "api.burst = \"many\" (environment variable OUTDIAL_API__BURST): must be";
    assert!(variable.starts_with(expect), "{variable}");
}

#[test]
fn all_problems_are_told_at_once() {
    let error = load("[api]\nburst = 0\n[server]\nbind = \"x\"", &[("OUTDIAL_NODE__ID", "y")]);
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("3 settings are wrong:\n  "), "{text}");
    let unknown = load("a = 1\nb = 2", &[]).unwrap_err();
    assert_eq!(unknown.problems.len(), 2, "{unknown}");
}

#[test]
fn livekit_is_set_up_wholly_or_not_at_all() {
    assert!(load("", &[]).unwrap().livekit.is_none());
    assert_eq!(
        problem("[livekit]\nurl = \"ws://h\"", &[]),
        "livekit.api_key and livekit.api_secret are missing: livekit.url is set, and LiveKit needs \
         all three"
    );
    assert_eq!(
        problem("[livekit]\nurl = \"ws://h\"\napi_key = \"k\"", &[]),
        "livekit.api_secret is missing: livekit.url and livekit.api_key are set, and LiveKit needs \
         all three"
    );
}

#[test]
fn the_bridge_is_on_when_its_address_is_set() {
    const LIVEKIT: &str = "[livekit]\nurl = \"ws://h\"\napi_key = \"k\"\napi_secret = \"s\"\n";
    let sip = |lines: &str| load(&format!("{LIVEKIT}[sip]\n{lines}"), &[]).map(|s| s.sip);
    assert!(sip("udp_port = 5070").unwrap().is_none());
    let settings = sip("public_ip = \"203.0.113.7\"").unwrap().unwrap();
    assert_eq!(
        (settings.udp_port, settings.tcp_port, settings.tls),
        (Some(5060), Some(5060), None)
    );
    assert_eq!(settings.rtp_ports, 31_000..=31_999);
    assert_eq!(settings.no_media_timeout, Duration::from_secs(60));
    let settings = sip("public_ip = \"2001:db8::1\"\nbind = \"::\"\nudp_port = 0\ntcp_port = 0\n\
         tls_port = 5061\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n\
         rtp_ports = \"20000 - 20003\"");
    let settings = settings.unwrap().unwrap();
    let (certificate, key) = ("c.pem".into(), "k.pem".into());
    assert_eq!(settings.tls, Some(SipTls { port: 5061, certificate, key }));
    assert_eq!((settings.udp_port, settings.rtp_ports), (None, 20_000..=20_003));

    let wrong = |lines: &str, expect: &str| {
        let problems = sip(&format!("public_ip = \"203.0.113.7\"\n{lines}")).unwrap_err().problems;
        assert!(problems.len() == 1 && problems[0].contains(expect), "{problems:?}");
    };
    wrong("bind = \"::\"", "both must be IPv4, or both IPv6");
    wrong("udp_port = 0\ntcp_port = 0", "are all 0");
    wrong("udp_port = 31500", "lies in sip.rtp_ports");
    for ports in ["", "31000", "31999-31000", "31000-31000", "31000-32000", "80-81", "+2000-2001"] {
        wrong(&format!("rtp_ports = \"{ports}\""), "must be two ports");
    }
    let alone = problem("[sip]\npublic_ip = \"203.0.113.7\"", &[]);
    assert!(alone.ends_with("the SIP bridge joins calls to LiveKit rooms"), "{alone}");
}

#[test]
fn recordings_go_to_a_folder_a_bucket_or_nowhere() {
    let keeper = |lines: &str| {
        let settings = load(&format!("[recordings]\n{lines}"), &[]).unwrap();
        settings.recordings.keeper
    };
    assert!(matches!(keeper(""), Some(Keeper::Folder(None))));
    let Some(Keeper::Folder(Some(folder))) = keeper("url = \"file:///var/rec\"") else { panic!() };
    assert_eq!(folder.to_str(), Some("/var/rec"));
    assert!(keeper("url = \"none\"").is_none());
    let Some(Keeper::S3(s3)) = keeper(
        "url = \"s3://calls/2026/a\"\ns3_endpoint = \"http://localhost:7070\"\n\
         s3_path_style = true\ns3_access_key = \"AK\"\ns3_secret_key = \"SK\"",
    ) else {
        panic!()
    };
    assert_eq!((s3.url.host_str(), s3.url.path()), (Some("calls"), "/2026/a"));
    assert_eq!((s3.region, s3.path_style), (None, true));
    assert_eq!(s3.endpoint.unwrap().as_str(), "http://localhost:7070/");
    assert_eq!(s3.credentials.unwrap().0, "AK");
}

#[test]
fn everything_is_kept_in_a_file_or_on_a_replica_set() {
    let store = |lines: &str| load(&format!("[store]\n{lines}"), &[]).unwrap().store;
    assert_eq!(store(""), Store::Sqlite(None));
    assert_eq!(store("url = \"sqlite:///a.db\""), Store::Sqlite(Some("/a.db".into())));
    let url = "mongodb://u:hush@a,b/calls?replicaSet=rs0";
    let Store::MongoDb(mongodb) = store(&format!("url = \"{url}\"\nmax_connections = 7")) else {
        panic!()
    };
    assert_eq!((mongodb.url.expose(), mongodb.max_connections), (url, 7));
    assert_eq!((mongodb.timeout, mongodb.connect_timeout), (SECOND * 5, SECOND * 3));
}

#[test]
fn the_password_of_the_database_is_never_shown() {
    let file = "[store]\nurl = \"mongodb://u:hush@a,b/calls\"";
    let (settings, effective) = explain(file, &[]).unwrap();
    assert!(!format!("{settings:?} {effective:?}").contains("hush"));
    let shown = effective.iter().find(|e| e.key == "store.url").unwrap();
    assert_eq!(shown.value, "\"mongodb://u:***@a,b/calls\"");
    for wrong in ["\"mongo://u:hush@a\"", "\"mongodb://u:hush\"", "[\"mongodb://u:hush@a\"]"] {
        let problem = problem(&format!("[store]\nurl = {wrong}"), &[]);
        assert!(problem.starts_with("store.url = ") && !problem.contains("hush"), "{problem}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let key = "bm90IGEgcmVhbCBrZXksIGp1c3QgMzIgYnl0ZXMuLi4=";
    let file = format!("[secrets]\nmaster_key = \"{key}\"");
    let variables = [
        ("OUTDIAL_LIVEKIT__URL", "ws://h"),
        ("OUTDIAL_LIVEKIT__API_KEY", "k"),
        ("OUTDIAL_LIVEKIT__API_SECRET", "hush"),
    ];
    let (settings, effective) = explain(&file, &variables).unwrap();
    assert_eq!(settings.secrets.master_key.unwrap().len(), 32);
    let shown = format!("{settings:?} {effective:?}");
    assert!(!shown.contains("hush") && !shown.contains(key) && !shown.contains("110, 111"));
    let masked: Vec<_> =
        effective.iter().filter(|e| e.value == "\"***\"").map(|e| &*e.key).collect();
    assert_eq!(masked, ["livekit.api_secret", "secrets.master_key"]);

    let error = problem("[secrets]\nmaster_key = \"hush\"", &[]);
    assert!(
        error.starts_with("secrets.master_key = \"***\" (outdial.toml): must be 32 bytes"),
        "{error}"
    );
    let (_, unset) = explain("", &[]).unwrap();
    let unset = unset.iter().find(|e| e.key == "secrets.master_key").unwrap();
    assert_eq!(unset.value, "\"\"", "an empty secret is told from one that is set");
}

#[test]
fn what_is_wrong_is_told_without_quoting_a_secret() {
    const HUSH: &str = "hu5h";
    let told = |file: &str, expect: &str| {
        let problem = problem(&file.replace("HUSH", HUSH), &[]);
        assert!(problem.starts_with(expect), "{problem}");
        assert!(!problem.to_lowercase().contains(HUSH), "{problem}");
    };
    for (line, column, rule) in [
        ("api_secret = HUSH", 14, "string values must be quoted, expected literal string"),
        ("api_secret = \"HUSH", 19, "invalid basic string, expected `\"`"),
        ("api_secret = \"HUSH\\q\"", 20, "missing escaped value, expected "),
        ("api_secret = \"HUSH\"HUSH\"", 20, "unexpected key or value, expected newline, `#`"),
        ("api_secret HUSH", 12, ""),
        ("api_secret \"HUSH\"", 12, ""),
        ("api_secret = [\"HUSH\"", 21, "unclosed array, expected `]`"),
        ("api_secret = { a = \"HUSH\"", 26, "unclosed inline table, expected `}`"),
        ("api_secret = \"HUSH\"\n\u{fc} = \"HUSH\"", 1, "invalid unquoted key, expected "),
        ("api_secret = \"HUSH\"\napi_secret = \"HUSH\"", 1, "duplicate key"),
        ("api_secret = 2020-13-01T00:HUSH", 14, ""),
    ] {
        let number = 2 + line.matches('\n').count();
        let expect = format!("outdial.toml:{number}:{column} is not TOML: {rule}");
        told(&format!("[livekit]\n{line}"), &expect);
    }
    told(
        "[livekit]\napi_secret = 99999999999999999999",
        "outdial.toml is not TOML: it holds a num",
    );
    for (key, wrong) in [
        ("livekit.api_secret", "true"),
        ("livekit.api_secret", "[\"HUSH\"]"),
        ("recordings.s3_secret_key", "[\"HUSH\"]"),
        ("secrets.master_key", "\"HUSH\""),
        ("secrets.master_key", "[\"HUSH\"]"),
    ] {
        told(&format!("{key} = {wrong}"), &format!("{key} = \"***\" (outdial.toml): must be "));
    }
    let number = problem("livekit.api_secret = 80085", &[]);
    assert_eq!(number, "livekit.api_secret = \"***\" (outdial.toml): must be a text in quotes");
    for (line, key) in [
        ("api_secrets = \"HUSH\"", "livekit.api_secrets"),
        ("api_secret = \"HUSH\"\nkey = \"HUSH\"", "livekit.key"),
        ("api_secret.is = \"HUSH\"", "livekit.api_secret.is"),
    ] {
        told(&format!("[livekit]\n{line}"), &format!("{key} (outdial.toml) is no setting"));
    }
    told("livekit = \"HUSH\"", "livekit (outdial.toml) is a section, not a setting");

    for name in ["LIVEKIT__API_SECRETS", "LIVEKIT", "LIVEKIT__API_SECRET__X", "SECRETS__MASTER_KEY"]
    {
        let name = format!("OUTDIAL_{name}");
        let problem = problem("", &[(&name, HUSH)]);
        assert!(problem.contains(&name) && !problem.contains(HUSH), "{problem}");
    }
    let variables =
        [("OUTDIAL_LIVEKIT__API_SECRET", HUSH), ("OUTDIAL_RECORDINGS__S3_SECRET_KEY", HUSH)];
    let error = load("", &variables).unwrap_err().to_string();
    assert!(error.starts_with("2 settings are wrong") && !error.contains(HUSH), "{error}");
}

#[test]
fn a_file_that_was_named_must_be_there_and_be_toml() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Sources { folder: folder.path().to_owned(), ..Sources::default() };
    Settings::load(&sources).unwrap();
    sources.variables = vec![("OUTDIAL_CONFIG".into(), "from-env.toml".into())];
    let error = Settings::load(&sources).unwrap_err().to_string();
    assert_eq!(error, "there is no settings file from-env.toml: OUTDIAL_CONFIG names it");
    sources.file = Some("named.toml".into());
    let error = Settings::load(&sources).unwrap_err().to_string();
    assert_eq!(error, "there is no settings file named.toml: --config names it");
    std::fs::write(folder.path().join("named.toml"), "[server\n").unwrap();
    let error = Settings::load(&sources).unwrap_err().to_string();
    assert!(error.starts_with("named.toml:1:8 is not TOML: unclosed table"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let folder = tempfile::tempdir().unwrap();
    let error = Settings::load(&Sources {
        file: None,
        folder: folder.path().to_owned(),
        variables: vec![("OUTDIAL_NODE__ID".into(), OsString::from_vec(vec![0xff]))],
    });
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "OUTDIAL_NODE__ID (environment) is not valid UTF-8");
}
