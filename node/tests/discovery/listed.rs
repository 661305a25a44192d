//! A model that nobody knows is listed by a stranger's gateway, ordered by name, told from another of its name, and gone from
//! the list when its seller is.

use super::processes::{Ledger, Node, bombyx, finish, last_object};
use super::{called, folder, get, list, until};

/// (`NE-14`, `NE-15`, `MK-12`, `MK-61`)
#[tokio::test(flavor = "multi_thread")]
async fn a_model_from_a_folder_is_listed_by_strangers_sold_by_name_and_gone_with_its_seller() {
    let ledger = Ledger::start().await;
    let folders = tempfile::tempdir().unwrap();
    let (first_folder, second_folder) = (folders.path().join("first"), folders.path().join("second"));
    let first_id = folder(&first_folder, "my-chat", "mine").await.to_string();
    let second_id = folder(&second_folder, "my-chat", "another's").await.to_string();

    // The gateway and the seller know only a third node, which neither sells nor buys.
    let hub = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let gateway = Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", hub.address()], &[]).await;
    assert!(list(&gateway).await.is_empty());
    let sold = format!("{}/", first_folder.display());
    let mut first = Node::up(&ledger, &["--provide", &sold, "--join", hub.address()], &[]).await;
    let listed = until(&gateway, "listed", |listed| called(listed, "my-chat").is_some()).await;
    let entry = called(&listed, "my-chat").unwrap();
    assert_eq!(entry["context_length"], 2_048);
    assert_eq!(entry["max_output_tokens"], 2_048);
    let facts = &entry["bombyx"];
    assert_eq!((&facts["model_id"], &facts["task"]), (&first_id.as_str().into(), &"chat".into()));
    assert_eq!((&facts["providers"], &facts["tiers"][0]), (&1.into(), &"open".into()));
    assert!(facts["price"]["output_per_k_nano"].as_u64().unwrap() > 0);

    // It is sold by its name.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/chat/completions", gateway.note.gateway.as_ref().unwrap());
    let question = |model: &str| {
        let messages = serde_json::json!([{ "role": "user", "content": "What is 17 plus 25?" }]);
        serde_json::json!({ "model": model, "messages": messages }).to_string()
    };
    let post =
        |model: &str| http.post(&url).header("content-type", "application/json").body(question(model)).send();
    let answer = post("my-chat").await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    // The same on the command line, through the running node, by joining, and through a running node that joins for it.
    let mut show = bombyx(&gateway.home());
    show.args(["--json", "models", "show", "my-chat"]);
    let shown = last_object(&finish(show).await);
    assert_eq!((&shown["id"], &shown["providers"]), (&first_id.as_str().into(), &1.into()));
    let home = tempfile::tempdir().unwrap();
    let alone = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    for home in [home.path(), &alone.home()] {
        let mut text = bombyx(home);
        text.args(["models", "list", "--ledger", &ledger.url, "--join", hub.address()]);
        let text = finish(text).await;
        let text =
            String::from_utf8_lossy(&text.stdout).into_owned() + &String::from_utf8_lossy(&text.stderr);
        assert!(text.contains("my-chat") && text.contains("2048") && text.contains(" out, "), "{text}");
    }
    assert!(called(&list(&alone).await, "my-chat").is_some(), "the running node has joined");

    // A second model of that name: both are told apart, and the bare name is refused with both.
    let sold = format!("{}/", second_folder.display());
    let second = Node::up(&ledger, &["--provide", &sold, "--join", hub.address()], &[]).await;
    let label = |id: &str| format!("my-chat@{}", &id[..8]);
    until(&gateway, "both listed", |listed| {
        [&first_id, &second_id].iter().all(|id| called(listed, &label(id)).is_some())
    })
    .await;
    let refused = post("my-chat").await.unwrap();
    assert_eq!(refused.status(), 400);
    let text = refused.text().await.unwrap();
    assert!(text.contains(&first_id) && text.contains(&second_id), "{text}");
    let (status, card) = get(&gateway, &format!("/v1/models/{}", label(&second_id))).await;
    assert_eq!((status, &card["bombyx"]["model_id"]), (200, &second_id.as_str().into()));
    let answer = post(&label(&second_id)).await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    // One ends in order and says so; the other is killed.
    let pid = first.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let is_gone =
        |listed: &[serde_json::Value], id: &str| listed.iter().all(|model| model["bombyx"]["model_id"] != id);
    until(&gateway, "an orderly leave", |listed| is_gone(listed, &first_id)).await;
    assert!(first.child.wait().await.unwrap().success());
    assert!(called(&list(&gateway).await, "my-chat").is_some(), "the name is the other's again");
    drop(second.stopped().await);
    until(&gateway, "a death", |listed| is_gone(listed, &second_id)).await;
}
