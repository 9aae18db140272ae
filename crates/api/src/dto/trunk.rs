//! Trunks on the wire.

use ipnet::IpNet;
use outdial_domain::{
    CallService, E164, MediaEncryption, Secret, SipAddress, SipHost, SipTransport, Trunk, TrunkId,
    TrunkRoute,
};
use outdial_engine::{NewTrunk, TrunkChange};
use serde::Serialize;
use utoipa::ToSchema;

use super::Timestamp;
use super::outbound::CALL_SERVICE;
use super::words::{CallServiceWord, MediaEncryptionWord, TransportWord, TrunkRouteWord};
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};
use crate::input::fields::Fields;
use crate::input::rules::{
    Decimal, Flag, Network, Number, OneOf, Parsed, Several, Whole, line, parsed,
};

const NAME: usize = 200;
const NUMBERS: Several<Number> =
    Several { max: 100, what: "phone numbers in E.164 format", each: Number };
const NETWORKS: Several<Network> =
    Several { max: 64, what: "IP addresses or networks", each: Network };
const TRANSPORT: OneOf<SipTransport> =
    OneOf(&[("udp", SipTransport::Udp), ("tcp", SipTransport::Tcp), ("tls", SipTransport::Tls)]);

const ROUTE: OneOf<TrunkRoute> =
    OneOf(&[("livekit_sip", TrunkRoute::LivekitSip), ("direct", TrunkRoute::Direct)]);
const MEDIA_ENCRYPTION: OneOf<MediaEncryption> =
    OneOf(&[("disabled", MediaEncryption::Disabled), ("require", MediaEncryption::Require)]);

fn proxies() -> Several<Parsed> {
    Several { max: 8, what: "SIP addresses, host or host:port", each: address() }
}

fn from_host() -> Parsed {
    parsed("acme1.pstn.exotel.com")
}

fn address() -> Parsed {
    parsed("acme.pstn.twilio.com")
}

fn per_second() -> Decimal {
    Decimal(0.01..=1000.0)
}

fn channels() -> Whole {
    Whole(1..=100_000)
}

/// A trunk to create.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateTrunk {
    /// The service it belongs to.
    #[schema(value_type = CallServiceWord)]
    call_service: CallService,
    /// Its name: 1 to 200 characters.
    #[schema(max_length = 200, example = "Main line")]
    name: String,
    /// Caller ids in E.164 format, at most 100; the first is used. Needed unless `sandbox`.
    #[schema(value_type = Option<Vec<String>>, example = json!(["+15550100000"]))]
    numbers: Vec<E164>,
    /// Where the INVITE goes: host or host:port. Needed unless `sandbox`.
    #[schema(value_type = Option<String>, example = "acme.pstn.twilio.com")]
    address: Option<SipAddress>,
    /// How the INVITE goes: by default `udp`, for `exotel` `tcp`.
    #[schema(value_type = Option<TransportWord>)]
    transport: SipTransport,
    /// The user name of SIP digest authentication: 1 to 200 characters.
    #[schema(max_length = 200)]
    auth_username: Option<String>,
    /// The password of SIP digest authentication: 1 to 200 characters. Never shown again.
    #[schema(value_type = Option<String>, write_only, max_length = 200)]
    auth_password: Option<Secret>,
    /// By which way calls leave: `livekit_sip`, or `direct` by this server itself. For `twilio` only;
    /// calls of `exotel` always leave directly.
    #[schema(value_type = Option<TrunkRouteWord>, default = "livekit_sip")]
    route: Option<TrunkRoute>,
    /// The domain of the From address, when the service wants one of its own: Exotel's is
    /// `<account sid>.pstn.exotel.com`.
    #[schema(value_type = Option<String>, example = "acme1.pstn.exotel.com")]
    from_host: Option<SipHost>,
    /// Where the INVITE is sent instead of `address`: hosts or host:ports, at most 8, in order; the
    /// next is tried only when no connection could be made. Not with `route` `livekit_sip`.
    #[schema(value_type = Option<Vec<String>>, example = json!([]))]
    outbound_proxies: Vec<SipAddress>,
    /// Who else may send SIP and RTP for calls of this trunk, beside the addresses that the signalling
    /// names: IP addresses and networks, at most 64. Not with `route` `livekit_sip`.
    #[schema(value_type = Option<Vec<String>>, example = json!(["203.0.113.0/24"]))]
    allowed_addresses: Vec<IpNet>,
    /// Whether media is encrypted (SRTP): `require` or `disabled`; by default `require` with `tls`,
    /// else `disabled`.
    #[schema(value_type = Option<MediaEncryptionWord>)]
    media_encryption: Option<MediaEncryption>,
    /// Calls are simulated: no phone rings.
    #[schema(value_type = Option<bool>, default = false)]
    sandbox: bool,
    /// New calls started per second at most: 0.01 to 1000.
    #[schema(minimum = 0.01, maximum = 1000)]
    calls_per_second: Option<f64>,
    /// Calls at the same time at most: 1 to 100000.
    #[schema(minimum = 1, maximum = 100_000)]
    max_concurrent_calls: Option<u32>,
}

impl CreateTrunk {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        let call_service = body.required("call_service", CALL_SERVICE)?;
        let new = Self {
            call_service,
            name: body.required("name", line(NAME))?,
            numbers: body.optional("numbers", NUMBERS)?.unwrap_or_default(),
            address: body.optional("address", address())?,
            transport: body.optional("transport", TRANSPORT)?.unwrap_or(match call_service {
                CallService::Twilio => SipTransport::Udp,
                CallService::Exotel => SipTransport::Tcp,
            }),
            auth_username: body.optional("auth_username", line(NAME))?,
            auth_password: body.optional("auth_password", line(NAME))?.map(Secret::new),
            route: body.optional("route", ROUTE)?,
            from_host: body.optional("from_host", from_host())?,
            outbound_proxies: body.optional("outbound_proxies", proxies())?.unwrap_or_default(),
            allowed_addresses: body.optional("allowed_addresses", NETWORKS)?.unwrap_or_default(),
            media_encryption: body.optional("media_encryption", MEDIA_ENCRYPTION)?,
            sandbox: body.optional("sandbox", Flag)?.unwrap_or(false),
            calls_per_second: body.optional("calls_per_second", per_second())?,
            max_concurrent_calls: body.optional("max_concurrent_calls", channels())?,
        };
        body.finish()?;
        new.check()
    }

    /// The rules between fields; what else a service needs is for its provider to say.
    fn check(self) -> Result<Self> {
        let missing = |field, hint| {
            let message = format!("{field} is missing: only a sandbox trunk can do without");
            Err(ApiError::field(ErrorCode::MissingField, field, message).hint(hint))
        };
        match () {
            () if self.route.is_some() && self.call_service != CallService::Twilio => {
                let message = format!("route is for twilio only, not for {}", self.call_service);
                Err(ApiError::field(ErrorCode::InvalidField, "route", message)
                    .hint("leave it out: these calls always leave directly"))
            }
            () if self.sandbox => Ok(self),
            () if self.address.is_none() => {
                missing("address", "the SIP host of your trunk, for example acme.pstn.twilio.com")
            }
            () if self.numbers.is_empty() => {
                missing("numbers", "the caller id, for example [\"+15550100000\"]")
            }
            () => Ok(self),
        }
    }
}

impl From<CreateTrunk> for NewTrunk {
    fn from(create: CreateTrunk) -> Self {
        let CreateTrunk {
            call_service,
            name,
            numbers,
            address,
            transport,
            auth_username,
            auth_password,
            route,
            from_host,
            outbound_proxies,
            allowed_addresses,
            media_encryption,
            sandbox,
            calls_per_second,
            max_concurrent_calls,
        } = create;
        Self {
            call_service,
            name,
            numbers,
            address,
            transport,
            auth_username,
            auth_password,
            route: route.unwrap_or_default(),
            from_host,
            outbound_proxies,
            allowed_addresses,
            media_encryption,
            sandbox,
            calls_per_second,
            max_concurrent_calls,
        }
    }
}

/// Changes to a trunk: a field that is absent stays as it is, `null` clears what may be without a
/// value. `call_service` and `sandbox` are fixed.
#[derive(Debug, ToSchema)]
pub(crate) struct ChangeTrunk {
    #[schema(value_type = String, required = false, max_length = 200)]
    name: Option<String>,
    #[schema(value_type = Vec<String>, required = false)]
    numbers: Option<Vec<E164>>,
    #[schema(value_type = Option<String>)]
    address: Option<Option<SipAddress>>,
    #[schema(value_type = TransportWord, required = false)]
    transport: Option<SipTransport>,
    #[schema(value_type = Option<String>, max_length = 200)]
    auth_username: Option<Option<String>>,
    #[schema(value_type = Option<String>, write_only, max_length = 200)]
    auth_password: Option<Option<Secret>>,
    #[schema(value_type = TrunkRouteWord, required = false)]
    route: Option<TrunkRoute>,
    #[schema(value_type = Option<String>)]
    from_host: Option<Option<SipHost>>,
    #[schema(value_type = Vec<String>, required = false)]
    outbound_proxies: Option<Vec<SipAddress>>,
    #[schema(value_type = Vec<String>, required = false)]
    allowed_addresses: Option<Vec<IpNet>>,
    #[schema(value_type = Option<MediaEncryptionWord>)]
    media_encryption: Option<Option<MediaEncryption>>,
    #[schema(value_type = Option<f64>, minimum = 0.01, maximum = 1000)]
    calls_per_second: Option<Option<f64>>,
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000, example = 10)]
    max_concurrent_calls: Option<Option<u32>>,
}

impl ChangeTrunk {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        for name in ["trunk_id", "call_service", "sandbox", "created_at", "updated_at"] {
            body.fixed(name)?;
        }
        let change = Self {
            name: body.change("name", line(NAME))?,
            numbers: body.change("numbers", NUMBERS)?,
            address: body.clearable("address", address())?,
            transport: body.change("transport", TRANSPORT)?,
            auth_username: body.clearable("auth_username", line(NAME))?,
            auth_password: body
                .clearable("auth_password", line(NAME))?
                .map(|password| password.map(Secret::new)),
            route: body.change("route", ROUTE)?,
            from_host: body.clearable("from_host", from_host())?,
            outbound_proxies: body.change("outbound_proxies", proxies())?,
            allowed_addresses: body.change("allowed_addresses", NETWORKS)?,
            media_encryption: body.clearable("media_encryption", MEDIA_ENCRYPTION)?,
            calls_per_second: body.clearable("calls_per_second", per_second())?,
            max_concurrent_calls: body.clearable("max_concurrent_calls", channels())?,
        };
        body.finish()?;
        Ok(change)
    }
}

impl From<ChangeTrunk> for TrunkChange {
    fn from(change: ChangeTrunk) -> Self {
        let ChangeTrunk {
            name,
            numbers,
            address,
            transport,
            auth_username,
            auth_password,
            route,
            from_host,
            outbound_proxies,
            allowed_addresses,
            media_encryption,
            calls_per_second,
            max_concurrent_calls,
        } = change;
        Self {
            name,
            numbers,
            address,
            transport,
            auth_username,
            auth_password,
            route,
            from_host,
            outbound_proxies,
            allowed_addresses,
            media_encryption,
            calls_per_second,
            max_concurrent_calls,
        }
    }
}

/// A trunk. The password is never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trunk)]
pub(crate) struct TrunkData {
    #[schema(value_type = String, example = "ST_a1b2c3d4e5f6g7h8i9j0")]
    trunk_id: TrunkId,
    #[schema(value_type = CallServiceWord)]
    call_service: CallService,
    name: String,
    #[schema(value_type = Vec<String>)]
    numbers: Vec<E164>,
    #[schema(value_type = Option<String>)]
    address: Option<SipAddress>,
    #[schema(value_type = TransportWord)]
    transport: SipTransport,
    auth_username: Option<String>,
    /// Whether a password is set.
    has_auth_password: bool,
    /// By which way calls leave; `null` for services that have one only.
    #[schema(value_type = Option<TrunkRouteWord>)]
    route: Option<TrunkRoute>,
    #[schema(value_type = Option<String>)]
    from_host: Option<SipHost>,
    #[schema(value_type = Vec<String>)]
    outbound_proxies: Vec<SipAddress>,
    allowed_addresses: Vec<String>,
    #[schema(value_type = Option<MediaEncryptionWord>)]
    media_encryption: Option<MediaEncryption>,
    sandbox: bool,
    calls_per_second: Option<f64>,
    max_concurrent_calls: Option<u32>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Trunk> for TrunkData {
    fn from(trunk: Trunk) -> Self {
        let Trunk {
            trunk_id,
            account_id: _,
            call_service,
            name,
            numbers,
            address,
            transport,
            auth_username,
            auth_password,
            route,
            from_host,
            outbound_proxies,
            allowed_addresses,
            media_encryption,
            sandbox,
            calls_per_second,
            max_concurrent_calls,
            created_at,
            updated_at,
        } = trunk;
        Self {
            trunk_id,
            call_service,
            name,
            numbers,
            address,
            transport,
            auth_username,
            has_auth_password: auth_password.is_some(),
            route: (call_service == CallService::Twilio).then_some(route),
            from_host,
            outbound_proxies,
            allowed_addresses: allowed_addresses.iter().map(network).collect(),
            media_encryption,
            sandbox,
            calls_per_second,
            max_concurrent_calls,
            created_at: created_at.into(),
            updated_at: updated_at.into(),
        }
    }
}

/// A network of one address is shown as that.
fn network(network: &IpNet) -> String {
    match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    }
}
