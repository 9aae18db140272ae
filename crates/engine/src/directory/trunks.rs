//! Trunks.

use ipnet::IpNet;
use outdial_domain::ports::{Page, PageRequest};
use outdial_domain::{
    AccountId, CallService, E164, ErrorKind, MediaEncryption, Route, Sealed, Secret, SipAddress,
    SipHost, SipTransport, Trunk, TrunkId, TrunkRoute,
};

use super::{later, set};
use crate::{Engine, EngineError, Inner, Result};

/// A trunk to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of `Trunk`")]
pub struct NewTrunk {
    pub call_service: CallService,
    pub name: String,
    pub numbers: Vec<E164>,
    pub address: Option<SipAddress>,
    pub transport: SipTransport,
    pub auth_username: Option<String>,
    pub auth_password: Option<Secret>,
    pub route: TrunkRoute,
    pub from_host: Option<SipHost>,
    pub outbound_proxies: Vec<SipAddress>,
    pub allowed_addresses: Vec<IpNet>,
    pub media_encryption: Option<MediaEncryption>,
    pub sandbox: bool,
    pub calls_per_second: Option<f64>,
    pub max_concurrent_calls: Option<u32>,
}

impl NewTrunk {
    /// A trunk without caller id, address, credentials and limits.
    pub fn new(name: impl Into<String>, call_service: CallService) -> Self {
        Self {
            call_service,
            name: name.into(),
            numbers: Vec::new(),
            address: None,
            transport: SipTransport::default(),
            auth_username: None,
            auth_password: None,
            route: TrunkRoute::default(),
            from_host: None,
            outbound_proxies: Vec::new(),
            allowed_addresses: Vec::new(),
            media_encryption: None,
            sandbox: false,
            calls_per_second: None,
            max_concurrent_calls: None,
        }
    }

    /// A sandbox trunk: calls through it are simulated.
    pub fn sandbox(name: impl Into<String>, call_service: CallService) -> Self {
        Self { sandbox: true, ..Self::new(name, call_service) }
    }
}

/// Changes to a trunk; `None` leaves a field as it is. Service and sandbox are fixed.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of `Trunk`")]
pub struct TrunkChange {
    pub name: Option<String>,
    pub numbers: Option<Vec<E164>>,
    pub address: Option<Option<SipAddress>>,
    pub transport: Option<SipTransport>,
    pub auth_username: Option<Option<String>>,
    pub auth_password: Option<Option<Secret>>,
    pub route: Option<TrunkRoute>,
    pub from_host: Option<Option<SipHost>>,
    pub outbound_proxies: Option<Vec<SipAddress>>,
    pub allowed_addresses: Option<Vec<IpNet>>,
    pub media_encryption: Option<Option<MediaEncryption>>,
    pub calls_per_second: Option<Option<f64>>,
    pub max_concurrent_calls: Option<Option<u32>>,
}

/// Trunks.
impl Engine {
    /// Creates a trunk.
    ///
    /// # Errors
    /// `Invalid` when its service needs something it does not have, or when the store fails.
    pub async fn create_trunk(&self, account: &AccountId, new: NewTrunk) -> Result<Trunk> {
        let now = self.inner.now();
        let trunk_id = TrunkId::random();
        let auth_password = self.inner.seal_password(&trunk_id, new.auth_password);
        let trunk = Trunk {
            trunk_id,
            account_id: account.clone(),
            call_service: new.call_service,
            name: new.name,
            numbers: new.numbers,
            address: new.address,
            transport: new.transport,
            auth_username: new.auth_username,
            auth_password,
            route: new.route,
            from_host: new.from_host,
            outbound_proxies: new.outbound_proxies,
            allowed_addresses: new.allowed_addresses,
            media_encryption: new.media_encryption,
            sandbox: new.sandbox,
            calls_per_second: new.calls_per_second,
            max_concurrent_calls: new.max_concurrent_calls,
            created_at: now,
            updated_at: now,
        };
        self.inner.check_trunk(&trunk)?;
        self.inner.parts.store.insert_trunk(&trunk).await?;
        Ok(trunk)
    }

    /// The account's trunk.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Trunk> {
        let found = self.inner.parts.store.trunk(account, id).await?;
        found.ok_or(EngineError::NotFound { what: "trunk" })
    }

    /// The account's trunks, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn trunks(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Trunk>> {
        Ok(self.inner.parts.store.trunks(account, page).await?)
    }

    /// Changes a trunk; running calls keep what they began with.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when its service then lacks something, or when the store fails.
    pub async fn change_trunk(
        &self,
        account: &AccountId,
        id: &TrunkId,
        change: TrunkChange,
    ) -> Result<Trunk> {
        loop {
            let mut trunk = self.trunk(account, id).await?;
            let read = trunk.updated_at;
            if change.route.is_some() && trunk.call_service != CallService::Twilio {
                let rule = format!("is for twilio only, not for {}", trunk.call_service);
                return Err(EngineError::invalid("route", rule, "leave it out"));
            }
            self.inner.apply_trunk_change(&mut trunk, change.clone());
            self.inner.check_trunk(&trunk)?;
            trunk.updated_at = later(self.inner.now(), read);
            match self.inner.parts.store.save_trunk(&trunk, read).await {
                Ok(()) => return Ok(trunk),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes a trunk; its calls stay.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<()> {
        let deleted = self.inner.parts.store.delete_trunk(account, id).await?;
        deleted.then_some(()).ok_or(EngineError::NotFound { what: "trunk" })
    }
}

const TRUNK_FIELDS: &str = "see the trunk fields in the API documentation";

impl Inner {
    fn check_trunk(&self, trunk: &Trunk) -> Result<()> {
        let missing = |field, rule: &str| Err(EngineError::invalid(field, rule, TRUNK_FIELDS));
        if !trunk.sandbox && trunk.address.is_none() {
            return missing("address", "a trunk that is not a sandbox needs an address");
        }
        if !trunk.sandbox && trunk.numbers.is_empty() {
            return missing("numbers", "a trunk that is not a sandbox needs a caller id");
        }
        if trunk.route() == Route::Twilio {
            const DIRECT: &str = "set route to \"direct\", or leave this empty";
            let only_direct = |field| {
                Err(EngineError::invalid(field, "is for calls that leave directly only", DIRECT))
            };
            if !trunk.outbound_proxies.is_empty() {
                return only_direct("outbound_proxies");
            }
            if !trunk.allowed_addresses.is_empty() {
                return only_direct("allowed_addresses");
            }
        }
        // What its service asks for beyond that is checked once the service is set up.
        let Ok(backend) = self.backend(trunk.route()) else { return Ok(()) };
        backend
            .provider
            .check_trunk(trunk)
            .map_err(|fault| EngineError::invalid(fault.field, fault.rule, TRUNK_FIELDS))
    }

    fn seal_password(&self, id: &TrunkId, password: Option<Secret>) -> Option<Sealed> {
        password.map(|password| self.parts.vault.seal(&password, &password_context(id)))
    }

    fn apply_trunk_change(&self, trunk: &mut Trunk, change: TrunkChange) {
        let TrunkChange {
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
        set(&mut trunk.name, name);
        set(&mut trunk.numbers, numbers);
        set(&mut trunk.address, address);
        set(&mut trunk.transport, transport);
        set(&mut trunk.auth_username, auth_username);
        let sealed = auth_password.map(|password| self.seal_password(&trunk.trunk_id, password));
        set(&mut trunk.auth_password, sealed);
        set(&mut trunk.route, route);
        set(&mut trunk.from_host, from_host);
        set(&mut trunk.outbound_proxies, outbound_proxies);
        set(&mut trunk.allowed_addresses, allowed_addresses);
        set(&mut trunk.media_encryption, media_encryption);
        set(&mut trunk.calls_per_second, calls_per_second);
        set(&mut trunk.max_concurrent_calls, max_concurrent_calls);
    }
}

/// Where a trunk's password is sealed for.
pub(crate) fn password_context(id: &TrunkId) -> String {
    format!("trunk:{id}")
}
