//! The client: credentials, TLS, retries, time limits.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use outdial_domain::{Error, ErrorKind, Result};

use super::settings::S3Settings;

/// How long an upload may stand still.
const STALLED: Duration = Duration::from_secs(20);

/// A client for these settings. Asks nobody, except for the region and the credentials where the
/// settings have none.
pub(super) async fn connect(settings: &S3Settings) -> Result<Client> {
    let http = http_client();
    let builder = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http.clone())
        .force_path_style(settings.path_style)
        .retry_config(RetryConfig::standard().with_max_attempts(settings.max_attempts))
        .timeout_config(timeouts(settings, settings.request_timeout))
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(STALLED).build(),
        )
        // Checksums are given where they are wanted; not every server knows those of the SDK.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let mut builder = authorize(builder, settings, http).await?;
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint_url(endpoint.as_str().trim_end_matches('/'));
    }
    Ok(Client::from_conf(builder.build()))
}

/// The time limits of a request whose one try may take so long.
pub(super) fn timeouts(settings: &S3Settings, attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .operation_attempt_timeout(attempt)
        .build()
}

/// Adds the region and the credentials.
async fn authorize(
    builder: Builder,
    settings: &S3Settings,
    http: SharedHttpClient,
) -> Result<Builder> {
    let own_server = settings.endpoint.is_some().then(|| "us-east-1".to_owned());
    let region = settings.region.clone().or(own_server).map(Region::new);
    if let (Some((id, key)), Some(region)) = (&settings.keys, &region) {
        let keys = Credentials::new(id.as_str(), key.expose(), None, None, "outdial");
        return Ok(builder.region(region.clone()).credentials_provider(keys));
    }
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(region) = region {
        loader = loader.region(region);
    }
    if let Some((id, key)) = &settings.keys {
        let keys = Credentials::new(id.as_str(), key.expose(), None, None, "outdial");
        loader = loader.credentials_provider(keys);
    }
    let found = loader.load().await;
    let Some(region) = found.region() else {
        let message = "the bucket's region is not known: set recordings.s3_region";
        return Err(Error::new(ErrorKind::Refused, "s3.settings", message));
    };
    let builder = builder.region(region.clone());
    Ok(match found.credentials_provider() {
        Some(provider) => builder.credentials_provider(provider),
        None => builder,
    })
}

/// rustls with ring, and the certificates that the system trusts.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
