//! What a trunk needs. Source: Twilio's documentation of Elastic SIP Trunking ("Termination",
//! "Credential lists"), and LiveKit's of outbound trunks.

use outdial_domain::Trunk;
use outdial_domain::ports::TrunkFault;

pub(crate) fn check(trunk: &Trunk) -> Result<(), TrunkFault> {
    let fault = |field, rule: &str| Err(TrunkFault { field, rule: rule.to_owned() });
    if trunk.address.is_none() {
        return fault(
            "address",
            "is required: the termination URI of the Elastic SIP trunk, <name>.pstn.twilio.com",
        );
    }
    if trunk.numbers.is_empty() {
        return fault(
            "numbers",
            "needs at least one: a number of the trunk, or a verified caller id, to call from",
        );
    }
    let username = trunk.auth_username.as_deref().unwrap_or_default();
    if is_account_sid(username) {
        return fault(
            "auth_username",
            "is an Account SID, which is of no use here: take a user name and a password of the \
             trunk's credential list",
        );
    }
    match (!username.is_empty(), trunk.auth_password.is_some()) {
        (true, false) => fault(
            "auth_password",
            "is required with auth_username: the password of that user in the trunk's credential \
             list, not the Auth Token",
        ),
        (false, true) => fault(
            "auth_username",
            "is required with auth_password: a user of the trunk's credential list, not the \
             Account SID",
        ),
        _ => Ok(()),
    }
}

/// `AC` and 32 hexadecimal digits: longer than a user name of a credential list may be.
fn is_account_sid(username: &str) -> bool {
    username
        .strip_prefix("AC")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use outdial_domain::{AccountId, CallService, Sealed, SipTransport, TrunkId, TrunkRoute};

    use super::*;

    fn trunk() -> Trunk {
        let now = chrono::Utc::now();
        Trunk {
            trunk_id: TrunkId::random(),
            account_id: AccountId::random(),
            call_service: CallService::Twilio,
            name: "main".into(),
            numbers: vec!["+15550100000".parse().unwrap()],
            address: Some("acme.pstn.twilio.com".parse().unwrap()),
            transport: SipTransport::Udp,
            auth_username: Some("outdial".into()),
            auth_password: Some(Sealed("sealed".into())),
            route: TrunkRoute::LivekitSip,
            from_host: None,
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
        for transport in [SipTransport::Udp, SipTransport::Tcp, SipTransport::Tls] {
            assert!(super::check(&Trunk { transport, ..trunk() }).is_ok());
        }
        // Access by IP address needs no password.
        check(|t| (t.auth_username, t.auth_password) = (None, None), None);
        check(|t| t.address = None, Some("address"));
        check(|t| t.numbers.clear(), Some("numbers"));
        check(|t| t.auth_password = None, Some("auth_password"));
        check(|t| t.auth_username = None, Some("auth_username"));
        check(|t| t.auth_username = Some(String::new()), Some("auth_username"));
        check(|t| t.auth_username = Some(format!("AC{}", "0af9".repeat(8))), Some("auth_username"));
    }
}
