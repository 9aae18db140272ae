//! How the map of the API becomes actix-web resources.

use actix_web::dev::HttpServiceFactory;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard};

use crate::edge::edge;
use crate::error::{ApiError, Result};

/// Registers routes, and remembers which.
pub(crate) struct RouteMap<'a> {
    config: &'a mut ServiceConfig,
    pub(crate) table: Vec<(&'static str, &'static str)>,
}

impl<'a> RouteMap<'a> {
    pub(crate) fn new(config: &'a mut ServiceConfig) -> Self {
        Self { config, table: Vec::new() }
    }

    /// The methods of a path; all others are answered with 405.
    pub(crate) fn at(&mut self, path: &'static str, methods: impl FnOnce(At) -> At) {
        let at = methods(At { path, resource: web::resource(path), allow: Vec::new() });
        self.table.extend(at.allow.iter().map(|method| (*method, path)));
        self.config.service(at.finish());
    }
}

/// A path that is given its methods.
pub(crate) struct At {
    path: &'static str,
    resource: Resource,
    allow: Vec<&'static str>,
}

impl At {
    pub(crate) fn get<H, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        let read = guard::Any(guard::Get()).or(guard::Head());
        self.add("GET", web::route().guard(read).to(handler))
    }

    /// GET without HEAD, for an answer that does not end by itself.
    pub(crate) fn stream<H, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        self.add("GET", web::get().to(handler))
    }

    pub(crate) fn post<H, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        self.add("POST", web::post().to(handler))
    }

    pub(crate) fn patch<H, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        self.add("PATCH", web::patch().to(handler))
    }

    pub(crate) fn delete<H, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        self.add("DELETE", web::delete().to(handler))
    }

    fn add(mut self, method: &'static str, route: Route) -> Self {
        self.allow.push(method);
        self.resource = self.resource.route(route);
        self
    }

    fn finish(self) -> impl HttpServiceFactory + 'static {
        let Self { path, resource, allow } = self;
        let allow = allow.join(", ");
        let refuse = move || {
            let error = ApiError::method_not_allowed(allow.clone());
            async move { Err::<HttpResponse, _>(error) }
        };
        resource
            .default_service(web::to(refuse))
            .wrap(from_fn(move |request, next| edge(path, request, next)))
    }
}

/// What is answered where there is no route.
pub(crate) async fn no_route() -> Result<HttpResponse> {
    Err(ApiError::new(crate::ErrorCode::NotFound, "there is no such route")
        .hint("the routes are listed under /docs and /openapi.json"))
}
