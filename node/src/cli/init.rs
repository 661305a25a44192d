//! `bombyx init`: keys and a commented configuration; nothing that is there is overwritten.

use std::io::Write as _;
use std::path::Path;

use bombyx_protocol::ident::Identity;
use serde::Serialize;

use super::print::Printer;
use crate::api::belongings;
use crate::error::NodeError;
use crate::home::config::{FILE, NodeConfig, TEMPLATE};
use crate::home::keys::{self, Keys};
use crate::home::permissions;
use crate::ledger::Wallet;

#[derive(Serialize)]
struct Made {
    home: String,
    node_id: String,
    wallet: String,
    new_keys: bool,
    new_config: bool,
}

pub(super) fn run(home: &Path, printer: Printer) -> Result<(), NodeError> {
    let new_keys = !home.join(keys::FOLDER).exists();
    let keys = if new_keys {
        let (keys, store, _) = belongings::open(home)?;
        store.close()?;
        keys
    } else {
        Keys::load(home)?
    };
    let path = home.join(FILE);
    let new_config = !path.exists();
    if new_config {
        let written =
            permissions::create_private(&path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
        written.map_err(|source| NodeError::Io { what: "write", path, source })?;
    }
    let config = NodeConfig::load(home)?;
    let wallet = Wallet::from_words(&keys.wallet, config.ledger.network.id())?;
    let made = Made {
        home: home.display().to_string(),
        node_id: Identity::from_seed(&keys.identity).id().to_string(),
        wallet: wallet.address().to_string(),
        new_keys,
        new_config,
    };
    let word = |new| if new { "made" } else { "was there already" };
    printer.data(&made, || {
        format!(
            "home    {}\nkeys    {} ({}; keep a copy, they hold the wallet)\nconfig  {} ({})\nnode    {}\nwallet  {}",
            made.home,
            home.join(keys::FOLDER).display(),
            word(new_keys),
            home.join(FILE).display(),
            word(new_config),
            made.node_id,
            made.wallet
        )
    });
    Ok(())
}
