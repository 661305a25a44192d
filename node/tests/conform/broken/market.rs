//! What the seller says to gossip: asks to seeks, bids to calls.

use bombyx_node::ledger::devnet::DEVNET_ID;
use bombyx_node::net::unix_s;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::clock::is_fresh;
use bombyx_protocol::ident::Identity;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::{Bid, BidHash, Payee};
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::session::seal;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{Decline, Refusal, SealedBid, ToClient};
use bombyx_protocol::work::order::{TaskKind, Tier};

use super::flaw::Flaw;
use super::{CREDIT, PRICE, Seller};

impl Seller {
    pub(super) async fn sought(&mut self, seek: &Seek) {
        let provider = self.identity.id();
        let is_invited =
            seek.invited.invites(&seek.id.0, &provider) || self.flaw == Flaw::AsksForNewsIfUninvited;
        let is_fresh = is_fresh(seek.made_s, unix_s()) || self.flaw == Flaw::AsksForOldSeeks;
        let is_ours = seek.model.is_none_or(|model| model == self.model);
        if !is_invited
            || !is_fresh
            || !is_ours
            || !self.may_act_on(&seek.extensions)
            || !self.is_new(seek.id.0)
        {
            return;
        }
        let SeekId(id) = seek.id;
        let ask = Ask {
            provider,
            model: self.model,
            name: "scripted".into(),
            kind: TaskKind::Generate,
            price: PRICE,
            context_tokens: 4_096,
            output_max: 4_096,
            read_tps: 1_000,
            write_tps: 100,
            start_ms: 0,
            tier: Tier::Open,
            seek: SeekId(id),
            valid_ms: 60_000,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let mut signed = ask.sign(&self.identity);
        if self.flaw == Flaw::ForgedAsks {
            signed.signature.0[3] ^= 1;
        }
        self.send(seek.client, ToClient::Ask(signed)).await;
    }

    pub(super) async fn called(&mut self, call: &Call) {
        let provider = self.identity.id();
        let is_ours = call.model == self.model && call.tier == Tier::Open;
        if !is_ours || !self.may_act_on(&call.extensions) || !self.is_new(call.id.0) {
            return;
        }
        if self.flaw == Flaw::SilentToCalls {
            return;
        }
        let why = if call.kind != TaskKind::Generate {
            Some(Refusal::WrongKind)
        } else if call.input_log2 > 13 {
            Some(Refusal::OverContext(4_096))
        } else {
            None
        };
        if let Some(why) = why.filter(|_| self.flaw != Flaw::BidsForWrongKind) {
            let decline = Decline { call: call.id, why, extensions: Extensions::NONE };
            return self.send(call.client, ToClient::Decline(decline)).await;
        }
        let mut bid = Bid {
            call: call.id,
            provider,
            model: self.model,
            session_key: self.key.public(),
            price: PRICE,
            start_ms: 0,
            ahead_ms: 0,
            read_tps: 1_000,
            write_tps: 100,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: 30_000,
            payee: Payee {
                network_id: DEVNET_ID,
                key: self.identity.id().0,
                address: Address::basechain([9; 32]),
                challenge_s: 3_600,
            },
            credit: CREDIT,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        match self.flaw {
            Flaw::BidsForAnotherCall => bid.call.0[0] ^= 1,
            Flaw::BidsInAnothersName => bid.provider = Identity::from_seed(&[1; 32]).id(),
            _ => {}
        }
        let signed = match self.flaw {
            Flaw::BidsInAnothersName => bid.sign(&Identity::from_seed(&[1; 32])),
            _ => bid.sign(&self.identity),
        };
        let plain = codec::encode(&signed);
        let Ok(sealed) = seal(&call.seal_key, &call.id.0, &plain, &mut self.entropy) else { return };
        self.bids.insert(BidHash::of(&signed).0, (call.client, call.id));
        self.send(call.client, ToClient::Bid(SealedBid { call: call.id, sealed })).await;
    }
}
