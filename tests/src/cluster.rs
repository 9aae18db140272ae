//! Several servers on one database.

use crate::Outdial;

/// A setting of a server, such as `("node.lease", "3s")`.
pub type Setting<'a> = (&'a str, &'a str);

/// The same at all nodes, or they could not read each other's secrets.
const MASTER_KEY: &str = "b25lIGtleSBmb3IgYWxsIG5vZGVzIG9mIGEgdGVzdC4=";
/// A node that is gone is missed within seconds; an answer of the database may not take as long.
const SHORT: [Setting<'static>; 2] = [("node.lease", "4s"), ("store.timeout", "3s")];

/// The settings of a node on the database at `url`, with others, which win.
pub fn settings_of<'a>(url: &'a str, more: &[Setting<'a>]) -> Vec<Setting<'a>> {
    let ours = [
        ("store.url", url),
        ("secrets.master_key", MASTER_KEY),
        // What records say of themselves is the same everywhere: nobody asks there.
        ("server.public_url", "http://outdial.example"),
    ];
    [&ours, &SHORT[..], more].concat()
}

/// Starts nodes on one database, each with a `store.url` of its own (perhaps through a
/// [`Gate`](crate::Gate)), and waits until all are ready. An admin's key of the first is one at all.
pub async fn nodes<const N: usize>(urls: [&str; N], settings: &[Setting<'_>]) -> [Outdial; N] {
    let mut started: Vec<Outdial> = Vec::new();
    for url in urls {
        let settings = settings_of(url, settings);
        let node = match started.first() {
            None => Outdial::start(&settings).await,
            Some(first) => {
                let node = first.beside(&settings);
                node.restart().await;
                node
            }
        };
        started.push(node);
    }
    started.try_into().unwrap_or_else(|_| unreachable!("one for each URL"))
}
