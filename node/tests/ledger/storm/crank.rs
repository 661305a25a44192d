//! Accounts that send whatever they are told: wallets without keys, so that a storm spends its time on the channel.

use bombyx_protocol::channel::terms::Address;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder};
use tycho_types::models::{ExtInMsgInfo, IntAddr, MsgInfo, OwnedMessage, StateInit, StdAddr};
use tycho_types::num::Tokens;

/// `DROP DUP SREFS IFNOTRET ACCEPT PLDREF 1 PUSHINT SENDRAWMSG`: sends the cell in an incoming body, ignores the rest.
const CODE: [u8; 12] = [0x30, 0x20, 0xd7, 0x4a, 0xdd, 0xf8, 0x00, 0xd7, 0x4c, 0x71, 0xfb, 0x00];

pub(crate) struct Crank {
    pub(crate) address: Address,
    init: StateInit,
}

impl Crank {
    pub(crate) fn new(number: u32) -> Self {
        let (mut code, mut data) = (CellBuilder::new(), CellBuilder::new());
        code.store_raw(&CODE, 96).unwrap();
        data.store_u32(number).unwrap();
        let init = StateInit {
            code: Some(code.build().unwrap()),
            data: Some(data.build().unwrap()),
            ..Default::default()
        };
        let hash = CellBuilder::build_from(&init).unwrap().repr_hash().0;
        Self { address: Address::basechain(hash), init }
    }

    /// The message from outside that makes this account send `message`.
    pub(crate) fn push(&self, message: Cell) -> Vec<u8> {
        let mut body = CellBuilder::new();
        body.store_reference(message).unwrap();
        let message = OwnedMessage {
            info: MsgInfo::ExtIn(ExtInMsgInfo {
                src: None,
                dst: IntAddr::Std(StdAddr::new(0, self.address.hash.into())),
                import_fee: Tokens::ZERO,
            }),
            init: Some(self.init.clone()),
            body: body.build().unwrap().into(),
            layout: None,
        };
        Boc::encode(CellBuilder::build_from(&message).unwrap())
    }
}
