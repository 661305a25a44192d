//! What a contract's get-methods return, by a real TVM.

use num_bigint::BigInt;
use tycho_executor::ParsedConfig;
use tycho_types::models::{Account, AccountState};
use tycho_vm::{GasParams, RcStackValue, SmcInfoBase, VmState, VmVersion};

/// What a get-method returned.
pub(super) struct Answer {
    pub(super) exit_code: i32,
    pub(super) gas: u64,
    pub(super) stack: Vec<RcStackValue>,
}

/// Runs a get-method on an account as it is at this unix time; `None` if no contract is active there.
pub(super) fn run(
    account: &Account,
    config: &ParsedConfig,
    now_s: u32,
    method: u32,
    mut stack: Vec<RcStackValue>,
) -> Option<Answer> {
    let AccountState::Active(state) = &account.state else { return None };
    let code = state.code.clone()?;
    stack.push(RcStackValue::new_dyn_value(BigInt::from(method)));
    let info = SmcInfoBase::new()
        .with_now(now_s)
        .with_block_lt(account.last_trans_lt)
        .with_tx_lt(account.last_trans_lt)
        .with_account_balance(account.balance.clone())
        .with_account_addr(account.address.clone())
        .with_config(config.raw.params.clone())
        .require_ton_v4()
        .with_code(code.clone())
        .require_ton_v6()
        .with_unpacked_config(config.unpacked.as_tuple())
        .require_ton_v11();
    let mut vm = VmState::builder()
        .with_smc_info(info)
        .with_version(VmVersion::Ton(12))
        .with_code(code)
        .with_data(state.data.clone().unwrap_or_default())
        .with_libraries(&state.libraries)
        .with_init_selector(false)
        .with_stack(stack)
        .with_gas(GasParams::getter())
        .build();
    let exit_code = !vm.run();
    Some(Answer { exit_code, gas: vm.gas.consumed(), stack: vm.stack.items.clone() })
}
