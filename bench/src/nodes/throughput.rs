//! Calls accepted a second, beside inserts of the same document by the driver alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Collection, IndexModel};
use outdial_bench::load::{self, Load};
use outdial_bench::machine;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::mongo::Mongo;
use crate::{Options, median, print_line};

/// What is asked for, and what becomes of the calls.
struct Variant {
    what: &'static str,
    respond_async: bool,
    /// `sandbox.time_scale`.
    time_scale: f64,
}

/// So slow that nothing is heard of a call after its leg has joined.
const STILL: f64 = 1000.0;

const VARIANTS: [Variant; 3] = [
    Variant { what: "answered when the leg has joined", respond_async: false, time_scale: STILL },
    Variant {
        what: "answered when accepted (respond-async)",
        respond_async: true,
        time_scale: STILL,
    },
    Variant { what: "whole calls, each to its end at once", respond_async: false, time_scale: 0.0 },
];

/// One kind of work in all rounds.
#[derive(Default)]
struct Series {
    rates: Vec<f64>,
    /// Processor time of the nodes, and of mongod, for each answer, in ms.
    cpu: Vec<(f64, Option<f64>)>,
}

pub(crate) async fn measure(mongo: &Mongo, options: &Options) -> Result<()> {
    for variant in &VARIANTS {
        let settings = [
            ("OUTDIAL_SANDBOX__TIME_SCALE", variant.time_scale.to_string()),
            // The agent is as slow as everything else.
            ("OUTDIAL_AGENT__JOIN_TIMEOUT", "10m".to_owned()),
        ];
        let cluster = Cluster::start(mongo, "outdial_bench_posts", 2, &settings).await?;
        print_line(&format!("\nPOST /call/outbound, {}", variant.what));
        compare(mongo, &cluster, variant, options).await?;
        cluster.end().await?;
    }
    Ok(())
}

async fn compare(
    mongo: &Mongo,
    cluster: &Cluster,
    variant: &Variant,
    options: &Options,
) -> Result<()> {
    let raw = Raw::prepare(mongo, cluster).await?;
    let duration = Duration::from_secs(options.seconds);
    let targets = targets(cluster, variant);
    let [mut plain, mut indexed, mut one, mut two] = <[Series; 4]>::default();
    for _ in 0..options.rounds {
        let work = raw.insert(&raw.plain, options.connections, duration);
        plain.add("driver, insert, _id only", mongo, &[], work).await?;
        let work = raw.insert(&raw.indexed, options.connections, duration);
        indexed.add("driver, insert, indexes ", mongo, &[], work).await?;
        let work = load::run(&targets[..1], options.connections, duration);
        one.add("POST, one node          ", mongo, &pids(cluster), work).await?;
        let work = load::run(&targets, options.connections, duration);
        two.add("POST, two nodes         ", mongo, &pids(cluster), work).await?;
    }
    let base = plain.median();
    for (what, series) in
        [("inserts with indexes", &mut indexed), ("one node", &mut one), ("two nodes", &mut two)]
    {
        let rate = series.median();
        print_line(&format!(
            "median: {what:<20} {rate:>6.0}/s of {base:.0}/s, ratio {:.3}; {}",
            rate / base,
            series.cost()
        ));
    }
    raw.database.drop().await?;
    Ok(())
}

fn targets(cluster: &Cluster, variant: &Variant) -> Vec<(std::net::SocketAddr, Vec<u8>)> {
    let body = cluster.order().to_string();
    let mut headers = vec![("x-api-key", &*cluster.key)];
    if variant.respond_async {
        headers.push(("prefer", "respond-async"));
    }
    let request = |address| load::post(address, "/call/outbound", &headers, &body);
    cluster.nodes.iter().map(|node| (node.address, request(node.address))).collect()
}

fn pids(cluster: &Cluster) -> Vec<u32> {
    cluster.nodes.iter().filter_map(|node| node.pid()).collect()
}

impl Series {
    async fn add(
        &mut self,
        what: &str,
        mongo: &Mongo,
        nodes: &[u32],
        work: impl Future<Output = Result<Load>>,
    ) -> Result<()> {
        let mongod = mongo.pid().await?;
        let times = || {
            let nodes: Result<f64> = nodes.iter().map(|pid| machine::cpu_seconds(*pid)).sum();
            let mongod = mongod.map(machine::cpu_seconds).transpose();
            anyhow::Ok((nodes?, mongod?))
        };
        let before = times()?;
        let load = work.await?;
        let after = times()?;
        let each = |seconds: f64| seconds * 1000.0 / load.count() as f64;
        let mongod = after.1.zip(before.1).map(|(after, before)| each(after - before));
        self.cpu.push((each(after.0 - before.0), mongod));
        self.rates.push(load.rate);
        print_line(&format!("  {what} {load}"));
        Ok(())
    }

    fn median(&mut self) -> f64 {
        median(&mut self.rates)
    }

    /// The processor time that one answer takes.
    fn cost(&self) -> String {
        let mut nodes: Vec<f64> = self.cpu.iter().map(|(nodes, _)| *nodes).collect();
        let mut mongod: Vec<f64> = self.cpu.iter().filter_map(|(_, mongod)| *mongod).collect();
        let nodes = format!("CPU each: outdial {:.2} ms", median(&mut nodes));
        if mongod.is_empty() {
            return nodes;
        }
        format!("{nodes}, mongod {:.2} ms", median(&mut mongod))
    }
}

/// A call's document, to be inserted over and over beside the calls.
struct Raw {
    database: mongodb::Database,
    document: Document,
    /// Without any index but that of `_id`.
    plain: Collection<Document>,
    /// With the indexes of calls.
    indexed: Collection<Document>,
}

impl Raw {
    async fn prepare(mongo: &Mongo, cluster: &Cluster) -> Result<Self> {
        cluster.place_one().await?;
        let calls = cluster.database.collection::<Document>("calls");
        let mut document = calls.find_one(doc! {}).await?.context("no call is stored")?;
        // Keys are unique; a call without one has none.
        document.remove("idempotency");
        let database = mongo.fresh("outdial_bench_raw").await?;
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).build();
        let options =
            mongodb::options::CollectionOptions::builder().write_concern(majority).build();
        let plain = database.collection_with_options("plain", options.clone());
        let indexed: Collection<Document> = database.collection_with_options("indexed", options);
        let indexes: Vec<IndexModel> = calls.list_indexes().await?.try_collect().await?;
        let indexes = indexes.into_iter().filter(|index| index.keys != doc! {"_id": 1});
        indexed.create_indexes(indexes).await?;
        let bytes = mongodb::bson::serialize_to_vec(&document)?.len();
        print_line(&format!("  the document has {bytes} bytes"));
        Ok(Self { database, document, plain, indexed })
    }

    /// As many writers as there are connections to the nodes, each with one insert at a time.
    async fn insert(
        &self,
        into: &Collection<Document>,
        writers: usize,
        duration: Duration,
    ) -> Result<Load> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            let (into, mut document) = (into.clone(), self.document.clone());
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                while begun.elapsed() < duration {
                    document.insert("_id", ObjectId::new().to_hex());
                    let begun = Instant::now();
                    into.insert_one(&document).await?;
                    latencies.push(begun.elapsed());
                }
                anyhow::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(task) = tasks.join_next().await {
            latencies.extend(task??);
        }
        Load::new(latencies, begun.elapsed())
    }
}
