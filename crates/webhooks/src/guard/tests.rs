use super::*;

fn refusal(url: &str) -> Option<String> {
    let url: Url = url.parse().unwrap();
    Guard::default().check_url(&url).err().map(|refused| refused.to_string())
}

#[test]
fn every_spelling_of_a_private_address_is_refused() {
    for (url, expect) in [
        ("http://127.0.0.1/", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://127.0.0.1./", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://0x7f.1", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://0177.0.0.1", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://2130706433", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://127.1", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://%31%32%37.0.0.1/", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://１２７.0.0.1/", "127.0.0.1 is not public (loopback address, RFC "),
        ("http://127。0。0。1/", "127.0.0.1 is not public (loopback address, RFC "),
        ("http:127.0.0.1", "127.0.0.1 is not public (loopback address, RFC "),
        ("http:\\\\127.0.0.1\\", "127.0.0.1 is not public (loopback address, RFC "),
        ("https://example.com@127.0.0.1/", "credentials"),
        ("http://0/", "0.0.0.0 is not public (\"this network\" address, RFC "),
        (
            "http://169.254.169.254/latest",
            "169.254.169.254 is not public (link-local address, RFC ",
        ),
        ("http://[::1]/", "::1 is not public (loopback address, RFC "),
        ("http://[::]/", ":: is not public (unspecified address, RFC "),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1 is not public (IPv4-mapped address, RFC "),
        ("http://[::ffff:8.8.8.8]/", "::ffff:8.8.8.8 is not public (IPv4-mapped address, RFC "),
        ("http://[fd00:ec2::254]/", "fd00:ec2::254 is not public (unique local address, RFC "),
    ] {
        let refusal = refusal(url).unwrap_or_else(|| panic!("{url} passed"));
        assert!(refusal.starts_with(expect), "{url}: {refusal}");
    }
}

#[test]
fn schemes_credentials_and_localhost_are_refused() {
    for (url, expect) in [
        ("ftp://example.com/", "the scheme ftp is not allowed"),
        ("file:///etc/passwd", "the scheme file is not allowed"),
        ("gopher://example.com/", "the scheme gopher is not allowed"),
        ("data:text/plain,x", "the scheme data is not allowed"),
        ("https://user@example.com/", "credentials"),
        ("https://:secret@example.com/", "credentials"),
        ("http://localhost:8000/", "localhost always means this machine"),
        ("http://LOCALHOST./", "localhost. always means this machine"),
        ("http://a.localhost/", "a.localhost always means this machine"),
    ] {
        let refusal = refusal(url).unwrap_or_else(|| panic!("{url} passed"));
        assert!(refusal.starts_with(expect), "{url}: {refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}

#[test]
fn public_urls_pass() {
    for url in [
        "https://example.com/hook?x=1#f",
        "http://example.com:8080",
        "https://93.184.215.14/",
        "https://[2606:4700:4700::1111]:8443/",
        "https://localhost.example.com/",
        "https://notlocalhost/",
    ] {
        assert_eq!(refusal(url), None, "{url}");
    }
}

#[test]
fn the_dangerous_setting_lifts_the_address_check_only() {
    let guard = Guard { dangerous_allow_private: true };
    let check = |url: &str| guard.check_url(&url.parse().unwrap());
    for url in ["http://127.0.0.1:1/", "http://localhost/", "http://[::1]/"] {
        assert_eq!(check(url), Ok(()), "{url}");
    }
    assert_eq!(check("ftp://127.0.0.1/"), Err(RefusedUrl::Scheme("ftp".into())));
    assert_eq!(check("http://u@127.0.0.1/"), Err(RefusedUrl::Credentials));
}

#[test]
fn one_bad_address_refuses_a_name() {
    let public: SocketAddr = "93.184.215.14:0".parse().unwrap();
    let private: SocketAddr = "10.0.0.5:0".parse().unwrap();
    let check = |addresses: &[SocketAddr]| {
        Guard::default()
            .check_resolved("hook.example", addresses.to_vec())
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(&[public]), Ok(vec![public]));
    for mixture in [[public, private], [private, public]] {
        let refused = check(&mixture).unwrap_err();
        assert!(refused.starts_with(
            "hook.example resolves to an address that is not public (private address, RFC 1918)"
        ));
        assert!(!refused.contains("10.0.0.5"), "the network stays hidden");
    }
    assert_eq!(check(&[]), Err("DNS lookup of hook.example gave no address".into()));
    let open = Guard { dangerous_allow_private: true };
    let passed = open.check_resolved("hook.example", vec![private, public]);
    assert_eq!(passed.unwrap(), [private, public]);
}

#[tokio::test]
async fn names_are_resolved_and_checked() {
    let error = GuardedResolver::default().lookup("localhost".into()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("localhost resolves to an address that is not public (loopback address"),
        "{error}"
    );
}
