//! What befalls hosts: they die and start again, lose the newest state of their disk, hang, or are cut off.

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::client::Client;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Input;
use bombyx_protocol::provider::{Provider, ProviderConfig};

use super::{HostRole, Testbed};

impl Testbed {
    /// Kills a host: what was not on disk is gone, and nobody is told.
    pub fn kill(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).unwrap();
        host.alive = false;
        host.life += 1;
        host.unsynced.clear();
        host.engine.clear();
        host.stepping = false;
    }

    /// Starts a killed host again from its disk.
    pub fn restart(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).unwrap();
        let records: Vec<Record> = host.disk.values().cloned().collect();
        host.role = if let Some(config) = self.clients.get(&id) {
            let mut config = config.clone();
            config.entropy_seed[0] ^= host.life as u8;
            HostRole::Client(Box::new(Client::new(config, records)))
        } else {
            let mut config = self.providers.get(&id).unwrap().clone();
            config.entropy_seed[0] ^= host.life as u8;
            HostRole::Provider(Box::new(Provider::new(config, records)))
        };
        host.alive = true;
        host.ticking_at = None;
        self.feed(id, Input::Tick);
    }

    /// Changes how a provider is configured once it starts again.
    pub fn reconfigure(&mut self, id: NodeId, change: impl FnOnce(&mut ProviderConfig)) {
        change(self.providers.get_mut(&id).unwrap());
    }

    /// A provider's engine takes tasks and never says a word again.
    pub fn hang_engine(&mut self, id: NodeId) {
        self.hosts.get_mut(&id).unwrap().engine.hung = true;
    }

    /// Puts an earlier state of a killed host's disk in the place of the newest one.
    pub fn roll_back(&mut self, id: NodeId, records: Vec<Record>) {
        let host = self.hosts.get_mut(&id).unwrap();
        assert!(!host.alive, "a disk is exchanged while nobody uses it");
        host.disk = records.into_iter().map(|record| (record.key(), record)).collect();
    }

    /// Cuts a host off the network, or joins it again.
    pub fn set_cut(&mut self, id: NodeId, cut: bool) {
        if cut {
            self.cut.insert(id);
        } else {
            self.cut.remove(&id);
        }
    }
}
