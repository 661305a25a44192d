//! What can be done to a channel: every operation, by anybody, with good signatures and bad ones.

use bombyx_node::ledger::ChannelMessage;
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use bombyx_protocol::ident::Signature;
use ed25519_dalek::SigningKey;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder};
use tycho_types::models::{
    CurrencyCollection, ExtInMsgInfo, IntAddr, MsgInfo, OwnedMessage, OwnedRelaxedMessage, RelaxedIntMsgInfo,
    RelaxedMsgInfo, StdAddr,
};
use tycho_types::num::Tokens;

/// What a signature was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Voucher,
    Order,
    Request,
}

/// Who acts, and whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Client,
    Provider,
    Stranger,
}

/// Everything that a signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) purpose: Purpose,
    pub(super) by: Party,
    pub(super) account: Address,
    pub(super) epoch: u64,
    pub(super) cumulative: Nano,
}

/// A signature, and what it says; `None` for one that nobody made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed {
    pub(super) claim: Option<Claim>,
    pub(super) signature: Signature,
}

impl Signed {
    pub(super) fn new(claim: Claim, key: &SigningKey) -> Self {
        let Claim { account: Address { hash: account, .. }, epoch, cumulative, .. } = claim;
        let account = ChannelId(account);
        let signature = match claim.purpose {
            Purpose::Voucher => Voucher { account, epoch, cumulative }.sign(key),
            Purpose::Order => CloseOrder { account, epoch, cumulative }.sign(key),
            Purpose::Request => CloseRequest { account, epoch }.sign(key),
        };
        Self { claim: Some(claim), signature }
    }

    pub(super) fn nobodys() -> Self {
        Self { claim: None, signature: Signature([0; 64]) }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    TopUp(Nano),
    Claim(Nano, Signed),
    Close(Nano, Signed, Option<Signed>),
    Request(Option<Signed>),
    Finalize,
    /// Coins without words.
    Gift,
    /// Words that the contract does not know.
    Noise,
}

/// How an operation reaches the channel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Via {
    Outside,
    Account { sender: Party, value: Nano, with_code: bool },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    /// Index of the channel.
    pub(super) channel: usize,
    pub(super) operation: Operation,
    pub(super) via: Via,
}

impl Operation {
    fn message(&self) -> Result<ChannelMessage, Cell> {
        Ok(match *self {
            Self::TopUp(amount) => ChannelMessage::TopUp { amount },
            Self::Claim(cumulative, voucher) => {
                ChannelMessage::Claim { cumulative, voucher: voucher.signature }
            }
            Self::Close(cumulative, voucher, order) => ChannelMessage::ProviderClose {
                cumulative,
                voucher: Some(voucher.signature),
                order: order.map(|order| order.signature),
            },
            Self::Request(request) => {
                ChannelMessage::RequestClose { request: request.map(|request| request.signature) }
            }
            Self::Finalize => ChannelMessage::Finalize,
            Self::Gift => return Err(Cell::default()),
            Self::Noise => return Err(CellBuilder::build_from(0xdead_beef_u32).unwrap()),
        })
    }

    /// The message from outside, serialised.
    pub(super) fn external(&self, account: Address) -> Vec<u8> {
        let cell = self.message().map_or_else(
            |body| {
                let info = ExtInMsgInfo { src: None, dst: internal(account), import_fee: Tokens::ZERO };
                let info = MsgInfo::ExtIn(info);
                CellBuilder::build_from(OwnedMessage { info, init: None, body: body.into(), layout: None })
                    .unwrap()
            },
            |message| message.external(account),
        );
        Boc::encode(cell)
    }

    /// The message for an account to send; `terms` deploy the contract on the way.
    pub(super) fn internal(&self, account: Address, value: Nano, terms: Option<&ChannelTerms>) -> Cell {
        self.message().map_or_else(
            |body| {
                let info = RelaxedIntMsgInfo {
                    bounce: true,
                    dst: internal(account),
                    value: CurrencyCollection::new(u128::from(value.0)),
                    ..Default::default()
                };
                // The code comes from a message that has it.
                let deploy = ChannelMessage::Finalize.internal(account, value, terms);
                let init = deploy.parse::<OwnedRelaxedMessage>().unwrap().init;
                let info = RelaxedMsgInfo::Int(info);
                CellBuilder::build_from(OwnedRelaxedMessage { info, init, body: body.into(), layout: None })
                    .unwrap()
            },
            |message| message.internal(account, value, terms),
        )
    }
}

fn internal(account: Address) -> IntAddr {
    IntAddr::Std(StdAddr::new(account.workchain, account.hash.into()))
}
