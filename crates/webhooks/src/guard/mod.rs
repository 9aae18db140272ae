//! The guard against server-side request forgery: a webhook must not reach this server's own
//! network.
//!
//! Two checks, as reqwest asks a resolver only for names: [`Guard::check_url`] for scheme,
//! credentials and literal addresses, and [`GuardedResolver`] for what a name resolves to. The
//! connection goes to the very addresses that were checked; there is no second lookup that could
//! answer differently (DNS rebinding).
//!
//! Both hold only without a proxy and without redirects, as in
//! [`HttpSender`](crate::HttpSender).

mod ranges;

use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

pub use self::ranges::{Range, special_range};

/// The rules for where webhooks may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// Lets webhooks go to private addresses too. The rules for scheme and credentials stay.
    pub dangerous_allow_private: bool,
}

/// Why a URL is refused. Names the rule and the way out; holds nothing of the URL but its scheme
/// or host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    /// Neither `http` nor `https`.
    #[error("the scheme {0} is not allowed: use an https or http URL")]
    Scheme(String),
    /// User name or password in the URL.
    #[error(
        "credentials in the URL are not allowed: leave out the part before @ and check the \
         webhook's signature instead"
    )]
    Credentials,
    /// No host.
    #[error("the URL has no host: use one like https://example.com/hook")]
    NoHost,
    /// A literal address that is not globally routable.
    #[error(
        "{address} is not public ({range}): use a public address, or allow private ones with \
         dangerous_allow_private in the server's settings"
    )]
    Address {
        /// The address.
        address: IpAddr,
        /// What it is.
        range: Range,
    },
    /// `localhost`, or a name below it.
    #[error(
        "{0} always means this machine (RFC 6761): use a public name, or allow private addresses \
         with dangerous_allow_private in the server's settings"
    )]
    Localhost(String),
}

/// Why a name gives no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// One of its addresses is not globally routable. The address itself is not told: whoever
    /// chose the name may not know this server's network.
    #[error(
        "{name} resolves to an address that is not public ({range}): use a name with public \
         addresses only, or allow private ones with dangerous_allow_private in the server's settings"
    )]
    Refused {
        /// The name.
        name: String,
        /// What one of its addresses is.
        range: Range,
    },
    /// The lookup failed.
    #[error("DNS lookup of {name} failed: {source}")]
    Lookup {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The lookup succeeded with no address.
    #[error("DNS lookup of {0} gave no address")]
    Empty(String),
}

impl Guard {
    /// Whether `url` may be an endpoint, as far as can be told without a network.
    ///
    /// The url crate has already read all spellings of an IPv4 address (WHATWG URL standard,
    /// section 3.5), so `http://0x7f.1` is seen as 127.0.0.1.
    ///
    /// ```
    /// use outdial_webhooks::guard::Guard;
    /// let refused = Guard::default().check_url(&"http://0x7f.1/".parse().unwrap()).unwrap_err();
    /// assert!(refused.to_string().starts_with("127.0.0.1 is not public (loopback address, RFC 1122)"));
    /// ```
    pub fn check_url(&self, url: &Url) -> Result<(), RefusedUrl> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RefusedUrl::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RefusedUrl::Credentials);
        }
        match url.host() {
            None => Err(RefusedUrl::NoHost),
            Some(_) if self.dangerous_allow_private => Ok(()),
            Some(Host::Ipv4(address)) => check_literal(address.into()),
            Some(Host::Ipv6(address)) => check_literal(address.into()),
            Some(Host::Domain(name)) if is_localhost(name) => {
                Err(RefusedUrl::Localhost(name.to_owned()))
            }
            Some(Host::Domain(_)) => Ok(()),
        }
    }

    /// Passes the addresses of `name` on if all of them may be connected to. One bad address
    /// refuses the name: an honest name has no mixture, and which one is tried first is not ours
    /// to choose.
    pub fn check_resolved(
        &self,
        name: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        if addresses.is_empty() {
            return Err(ResolveError::Empty(name.to_owned()));
        }
        let refused = addresses.iter().find_map(|address| special_range(address.ip()));
        match refused {
            Some(range) if !self.dangerous_allow_private => {
                Err(ResolveError::Refused { name: name.to_owned(), range })
            }
            _ => Ok(addresses),
        }
    }
}

fn check_literal(address: IpAddr) -> Result<(), RefusedUrl> {
    match special_range(address) {
        Some(range) => Err(RefusedUrl::Address { address, range }),
        None => Ok(()),
    }
}

/// RFC 6761, section 6.3. The url crate has made the name lower case.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Resolves names with the operating system's resolver and hands out only what the [`Guard`]
/// passes. For [`reqwest::ClientBuilder::dns_resolver`].
///
/// A literal address in a URL never comes here: [`Guard::check_url`] is needed beside it.
#[derive(Debug, Clone, Copy, Default)]
pub struct GuardedResolver(pub Guard);

impl GuardedResolver {
    async fn lookup(self, name: String) -> Result<Vec<SocketAddr>, ResolveError> {
        // Port 0 is replaced by the URL's port.
        let found: io::Result<Vec<_>> =
            tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect);
        match found {
            Ok(addresses) => self.0.check_resolved(&name, addresses),
            Err(source) => Err(ResolveError::Lookup { name, source }),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = lookup.await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
