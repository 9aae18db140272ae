//! What a trunk needs. Source: Exotel's documentation of vSIP over TCP and of its SIP trunking API.

use outdial_domain::ports::TrunkFault;
use outdial_domain::{SipTransport, Trunk};

pub(crate) fn check(trunk: &Trunk) -> Result<(), TrunkFault> {
    let fault = |field, rule: &str| Err(TrunkFault { field, rule: rule.to_owned() });
    if trunk.address.is_none() {
        return fault(
            "address",
            "is required: the proxy that Exotel gave you, like pstn.in2.exotel.com:5070",
        );
    }
    if trunk.transport == SipTransport::Udp {
        return fault(
            "transport",
            "is \"tcp\" (port 5070) or \"tls\" (port 443): Exotel takes no UDP",
        );
    }
    match trunk.from_host.as_ref().map(|host| host.as_str().to_ascii_lowercase()) {
        None => {
            return fault(
                "from_host",
                "is required: <account sid>.pstn.exotel.com (the Account SID stands in Exotel's \
                 dashboard, API settings)",
            );
        }
        Some(host) if host.ends_with(".sip.exotel.com") => {
            return fault(
                "from_host",
                "is <account sid>.pstn.exotel.com for outbound calls, not .sip.exotel.com",
            );
        }
        Some(_) => {}
    }
    if trunk.numbers.is_empty() {
        return fault(
            "numbers",
            "needs at least one: an ExoPhone of the account that the trunk may call from",
        );
    }
    match (trunk.auth_username.is_some(), trunk.auth_password.is_some()) {
        (true, false) => fault("auth_password", "is required with auth_username"),
        (false, true) => fault("auth_username", "is required with auth_password"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use outdial_domain::{AccountId, CallService, Sealed, TrunkId, TrunkRoute};

    use super::*;

    fn trunk() -> Trunk {
        let now = chrono::Utc::now();
        Trunk {
            trunk_id: TrunkId::random(),
            account_id: AccountId::random(),
            call_service: CallService::Exotel,
            name: "main".into(),
            numbers: vec!["+918044319240".parse().unwrap()],
            address: Some("pstn.in2.exotel.com:5070".parse().unwrap()),
            transport: SipTransport::Tcp,
            auth_username: None,
            auth_password: None,
            route: TrunkRoute::default(),
            from_host: Some("acme1.pstn.exotel.com".parse().unwrap()),
            outbound_proxies: Vec::new(),
            allowed_addresses: Vec::new(),
            media_encryption: None,
            sandbox: false,
            calls_per_second: None,
            max_concurrent_calls: None,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn what_a_trunk_needs() {
        let check = |change: fn(&mut Trunk), expect: Option<&str>| {
            let mut trunk = trunk();
            change(&mut trunk);
            let fault = super::check(&trunk).err();
            assert_eq!(fault.map(|fault| fault.field), expect, "{trunk:?}");
        };
        check(|_| {}, None);
        check(|t| t.transport = SipTransport::Tls, None);
        check(|t| t.transport = SipTransport::Udp, Some("transport"));
        check(|t| t.address = None, Some("address"));
        check(|t| t.from_host = None, Some("from_host"));
        check(|t| t.from_host = Some("acme1.sip.exotel.com".parse().unwrap()), Some("from_host"));
        check(|t| t.numbers.clear(), Some("numbers"));
        check(|t| t.auth_username = Some("user".into()), Some("auth_password"));
        check(|t| t.auth_password = Some(Sealed("sealed".into())), Some("auth_username"));
    }
}
