//! Placing a call.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::authenticate::Credential;
use rsipstack::dialog::invitation::InviteOption;
use rsipstack::sip::{self, Header, Host, HostWithPort, Param, Scheme, Uri};

use super::call::{Call, Parts};
use super::links::{self, LinkError, Target};
use super::locate::{sip_addr, stack_transport};
use super::queue::queue;
use super::{ALLOW, Shared, drive, lock, message};
use crate::{Dialog, Events, HostPort, Invite, InviteError, Transport};

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Where the INVITE goes.
struct Route {
    target: Target,
    link: Option<Arc<links::Link>>,
    /// All addresses of the name.
    sources: Vec<IpAddr>,
}

pub(super) async fn place(
    shared: &Arc<Shared>,
    invite: Invite,
) -> Result<(Dialog, Events), InviteError> {
    invite.validate()?;
    shared.has_room(&invite)?;
    let route = find(shared, &invite).await?;
    let link = route.link.clone();
    let placed = send(shared, invite, route);
    if placed.is_err()
        && let Some(link) = link
    {
        link.release();
    }
    placed
}

/// Goes through the proxies until a connection can be made.
async fn find(shared: &Shared, invite: &Invite) -> Result<Route, InviteError> {
    let only = [invite.address.clone()];
    let proxies = if invite.proxies.is_empty() { &only[..] } else { &invite.proxies[..] };
    let mut last = InviteError::NoListener;
    for proxy in proxies {
        let reached = reach(shared, invite.transport, proxy);
        let reached = tokio::time::timeout(shared.settings.timers.connect, reached).await;
        match reached.unwrap_or_else(|_| Err(InviteError::TimedOut { host: proxy.to_string() })) {
            Ok(route) => return Ok(route),
            Err(error) => {
                tracing::info!(call_id = invite.call_id, proxy = %proxy, %error, "a SIP server could not be reached");
                last = error;
            }
        }
    }
    Err(last)
}

async fn reach(
    shared: &Shared,
    transport: Transport,
    proxy: &HostPort,
) -> Result<Route, InviteError> {
    let host = || proxy.to_string();
    let port = proxy.port().unwrap_or_else(|| transport.default_port());
    let found = tokio::net::lookup_host((proxy.host(), port)).await;
    let found = found.map_err(|source| InviteError::Unresolved { host: host(), source })?;
    let mut addresses: Vec<SocketAddr> = found.take(16).collect();
    let sources = addresses.iter().map(|address| address.ip().to_canonical()).collect();
    if transport == Transport::Udp
        && let Some(listener) = shared.listeners.get(&Transport::Udp)
    {
        addresses.retain(|address| address.is_ipv4() == listener.local.is_ipv4());
    }
    let nothing = std::io::Error::other("no address of the right family");
    let mut last = InviteError::Unresolved { host: host(), source: nothing };
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        let server_name = (transport == Transport::Tls).then(|| proxy.host().to_owned());
        let target = Target { transport, address, server_name };
        if transport == Transport::Udp {
            return Ok(Route { target, link: None, sources });
        }
        match links::link(shared, &target).await {
            Ok(link) => return Ok(Route { target, link: Some(link), sources }),
            Err(LinkError::Connect(source)) => {
                last = InviteError::Unreachable { host: host(), source };
            }
            Err(LinkError::Tls(source)) => last = InviteError::Tls { host: host(), source },
        }
    }
    Err(last)
}

/// Hands the INVITE to the stack.
fn send(
    shared: &Arc<Shared>,
    invite: Invite,
    route: Route,
) -> Result<(Dialog, Events), InviteError> {
    let Route { target, link, sources } = route;
    let stack = |error: rsipstack::Error| InviteError::Stack(error.to_string());
    let layer = shared.layer.get().ok_or(InviteError::Full)?;
    let option = option(shared, &invite, &target)?;
    let pin = option.callee.to_string();
    let (states, received) = layer.new_dialog_state_channel();
    let (dialog, mut transaction) =
        layer.create_client_invite_dialog(option, states).map_err(stack)?;
    transaction.connection = link.as_ref().map(|link| link.connection.clone());
    let timers = &shared.settings.timers;
    let call = Arc::new(Call::new(Parts {
        id: invite.call_id.clone(),
        dialog,
        target: target.clone(),
        link,
        sources,
        allowed: invite.allowed,
        pin: pin.clone(),
        offer: invite.offer,
        patience: timers.cancel + timers.bye + Duration::from_secs(1),
    }));
    shared.register(&call)?;
    shared.pins.set(pin, sip_addr(stack_transport(target.transport), target.address));
    let (sender, receiver) = queue();
    let invited = drive::start_invite(shared, &call, transaction);
    shared.tasks.spawn(drive::drive(shared.clone(), call.clone(), received, invited, sender));
    Ok((Dialog { call }, Events { receiver }))
}

impl Shared {
    fn has_room(&self, invite: &Invite) -> Result<(), InviteError> {
        let listens = match invite.transport {
            Transport::Udp => self.listeners.contains_key(&Transport::Udp),
            Transport::Tcp | Transport::Tls => !self.listeners.is_empty(),
        };
        if !listens {
            return Err(InviteError::NoListener);
        }
        if self.stop.is_cancelled() || self.live_calls().len() >= self.settings.limits.calls {
            return Err(InviteError::Full);
        }
        match self.call(&invite.call_id) {
            Some(call) if !call.is_over() => Err(InviteError::DuplicateCallId),
            _ => Ok(()),
        }
    }

    fn register(&self, call: &Arc<Call>) -> Result<(), InviteError> {
        let mut calls = lock(&self.calls);
        if calls.get(call.id()).is_some_and(|other| !other.is_over()) {
            return Err(InviteError::DuplicateCallId);
        }
        calls.insert(call.id().to_owned(), call.clone());
        lock(&self.peers).add(&call.sources, &call.allowed);
        Ok(())
    }

    /// Our address in Via and Contact.
    pub(super) fn public(&self, transport: Transport) -> SocketAddr {
        let of = |transport| self.listeners.get(&transport);
        let listener = of(transport).or_else(|| of(Transport::Tcp)).or_else(|| of(Transport::Udp));
        listener.or_else(|| of(Transport::Tls)).map_or_else(
            || SocketAddr::new(self.settings.public_ip, transport.default_port()),
            |listener| listener.public,
        )
    }

    /// Names its transport: the stack keeps such a Contact as it is.
    pub(super) fn contact(&self, user: &str, transport: Transport) -> Uri {
        let public = self.public(transport);
        let mut uri = uri(
            user,
            HostWithPort { host: Host::IpAddr(public.ip()), port: Some(public.port().into()) },
        );
        match transport {
            Transport::Udp => {}
            Transport::Tcp => uri.params.push(Param::Transport(sip::Transport::Tcp)),
            Transport::Tls => uri.params.push(Param::Transport(sip::Transport::Tls)),
        }
        uri
    }
}

fn option(shared: &Shared, invite: &Invite, target: &Target) -> Result<InviteOption, InviteError> {
    let from_host = match &invite.from_host {
        Some(name) => host(name),
        None => Host::IpAddr(shared.settings.public_ip),
    };
    let port = invite.address.port().map(Into::into);
    let mut headers = vec![Header::Supported("timer".into()), Header::Allow(ALLOW.into())];
    headers.extend(invite.headers.iter().map(|(name, value)| message::other(name, value.as_str())));
    Ok(InviteOption {
        caller_display_name: invite.from_display.clone(),
        caller: uri(&invite.from_user, HostWithPort { host: from_host, port: None }),
        callee: uri(&invite.to_user, HostWithPort { host: host(invite.address.host()), port }),
        destination: Some(sip_addr(stack_transport(target.transport), target.address)),
        content_type: Some("application/sdp".to_owned()),
        offer: Some(invite.offer.clone()),
        contact: shared.contact(&invite.from_user, invite.transport),
        credential: invite.credentials.as_ref().map(|login| Credential {
            username: login.username.clone(),
            password: login.password.clone(),
            realm: None,
            auth_username: None,
        }),
        headers: Some(headers),
        call_id: Some(invite.call_id.clone()),
        ..InviteOption::default()
    })
}

fn host(name: &str) -> Host {
    name.trim_matches(['[', ']'])
        .parse::<IpAddr>()
        .map_or_else(|_| Host::Domain(name.to_owned().into()), Host::IpAddr)
}

fn uri(user: &str, host_with_port: HostWithPort) -> Uri {
    Uri {
        scheme: Some(Scheme::Sip),
        auth: Some(sip::Auth { user: user.to_owned(), password: None }),
        host_with_port,
        ..Uri::default()
    }
}
