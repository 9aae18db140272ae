//! The map of the API.

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};

use crate::edge::edge;
use crate::handlers::{
    assistants, calls, events, keys, livekit, outbound, recording, server, trunks,
};
use crate::map::{RouteMap, no_route};
use crate::state::ApiState;

fn routes(map: &mut RouteMap<'_>) {
    map.at("/call/outbound", |at| at.post(outbound::place));

    map.at("/assistants", |at| at.get(assistants::list).post(assistants::create));
    map.at("/assistants/{assistant_id}", |at| {
        at.get(assistants::read).patch(assistants::change).delete(assistants::delete)
    });
    map.at("/assistants/{assistant_id}/webhook-secret/rotate", |at| at.post(assistants::rotate));

    map.at("/trunks", |at| at.get(trunks::list).post(trunks::create));
    map.at("/trunks/{trunk_id}", |at| {
        at.get(trunks::read).patch(trunks::change).delete(trunks::delete)
    });

    map.at("/calls", |at| at.get(calls::list));
    map.at("/calls/{room_name}", |at| at.get(calls::read).delete(calls::erase));
    map.at("/calls/{room_name}/hangup", |at| at.post(calls::hang_up));
    map.at("/calls/{room_name}/dtmf", |at| at.post(calls::dtmf));
    map.at("/calls/{room_name}/transcript", |at| at.get(calls::transcript));
    map.at("/calls/{room_name}/recording", |at| at.get(recording::read));
    map.at("/calls/{room_name}/events", |at| at.stream(events::follow));
    map.at("/calls/{room_name}/deliveries", |at| at.get(calls::deliveries));
    map.at("/calls/{room_name}/deliveries/replay", |at| at.post(calls::replay));

    map.at("/keys", |at| at.get(keys::list).post(keys::create));
    map.at("/keys/{key_id}", |at| at.delete(keys::revoke));

    map.at("/livekit/webhook", |at| at.post(livekit::webhook));

    map.at("/healthz", |at| at.get(server::healthz));
    map.at("/readyz", |at| at.get(server::readyz));
    map.at("/metrics", |at| at.get(server::metrics));
    map.at("/openapi.json", |at| at.get(server::openapi_json));
    map.at("/docs", |at| at.get(server::docs));
    map.at("/docs/{file}", |at| at.get(server::docs_file));
    map.at("/docs/", |at| at.get(server::docs_index));
}

/// Mounts the API: give the result to `App::configure` or `Scope::configure`.
///
/// It also sets the default service (a JSON 404) of what it is mounted in; a `default_service` that
/// is set afterwards replaces it.
pub fn configure(state: ApiState) -> impl Fn(&mut ServiceConfig) + Clone + Send + Sync + 'static {
    let state = Data::new(state);
    move |config| {
        config.app_data(state.clone());
        routes(&mut RouteMap::new(config));
        let no_route = web::to(no_route).wrap(from_fn(|request, next| edge("none", request, next)));
        config.default_service(no_route);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[actix_web::test]
    async fn the_openapi_document_describes_exactly_these_routes() {
        let mut table = BTreeSet::new();
        let _ = actix_web::App::new().configure(|config: &mut ServiceConfig| {
            let mut map = RouteMap::new(config);
            routes(&mut map);
            table.extend(map.table.iter().map(|(method, path)| format!("{method} {path}")));
        });
        // The pages that show the document are no part of the API.
        table.retain(|route| !route.contains(" /docs"));

        let document = serde_json::to_value(crate::openapi()).unwrap();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        assert_eq!(described, table);
    }
}
