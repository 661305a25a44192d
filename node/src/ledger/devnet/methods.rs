//! Methods of toncenter's interface, version 2, answered from the devnet's state.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_protocol::channel::terms::Address;
use serde_json::{Value, json};
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use super::backend::{Devnet, method_id};
use super::params::{Failure, Params, address_in, bad, number_in, text_in};
use super::stack;
use crate::ledger::chain::{ChainError, Message, Transaction};
use crate::ledger::wallet::friendly;

/// Transactions in one answer.
const TRANSACTIONS_MAX: usize = 100;
/// Values on the stack of a get-method.
const STACK_MAX: usize = 64;
/// How deep tuples on a stack are shown.
const TUPLE_DEPTH_MAX: usize = 4;

/// Answers a method, by its name.
pub(super) fn call(devnet: &Devnet, method: &str, params: &Params) -> Result<Value, Failure> {
    match method {
        "getMasterchainInfo" => Ok(masterchain(devnet)),
        "getConfigAll" => Ok(configuration(devnet)),
        "getConfigParam" => parameter(devnet, params),
        "getAddressInformation" => information(devnet, address_in(params)?),
        "getAddressBalance" => Ok(json!(devnet.state().account(address_in(params)?)?.balance.0.to_string())),
        "sendBoc" => send(devnet, params),
        "runGetMethod" => run_get_method(devnet, params),
        "getTransactions" => transactions(devnet, params),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(Failure(StatusCode::NOT_FOUND, format!("the devnet has no method {other:?}")))
        }
    }
}

fn block(workchain: i32, seqno: u32) -> Value {
    json!({
        "@type": "ton.blockIdExt", "workchain": workchain, "shard": "-9223372036854775808", "seqno": seqno,
        "root_hash": BASE64.encode([0; 32]), "file_hash": BASE64.encode([0; 32]),
    })
}

fn masterchain(devnet: &Devnet) -> Value {
    let last = block(-1, devnet.state().seqno());
    json!({
        "@type": "blocks.masterchainInfo", "last": last, "init": block(-1, 0),
        "state_root_hash": BASE64.encode([0; 32]),
    })
}

fn configuration(devnet: &Devnet) -> Value {
    let bytes = devnet.state().configuration().map(|root| BASE64.encode(Boc::encode(root)));
    json!({ "@type": "configInfo", "config": { "@type": "tvm.cell", "bytes": bytes } })
}

fn parameter(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let number = u32::try_from(number_in(params, "config_id", 0)?).ok();
    let cell = number.and_then(|number| devnet.state().parameter(number));
    let cell = cell.ok_or_else(|| bad("config_id is not the number of a parameter that the devnet has"))?;
    let bytes = BASE64.encode(Boc::encode(cell));
    Ok(json!({ "@type": "configInfo", "config": { "@type": "tvm.cell", "bytes": bytes } }))
}

fn information(devnet: &Devnet, address: Address) -> Result<Value, Failure> {
    let state = devnet.state();
    let account = state.account(address)?;
    let encode = |cell: &Cell| BASE64.encode(Boc::encode(cell));
    let contract = account.contract.as_ref();
    Ok(json!({
        "@type": "raw.fullAccountState",
        "balance": account.balance.0.to_string(),
        "extra_currencies": [],
        "state": if contract.is_some() { "active" } else { "uninitialized" },
        "code": contract.map(|contract| encode(&contract.code)).unwrap_or_default(),
        "data": contract.map(|contract| encode(&contract.data)).unwrap_or_default(),
        "last_transaction_id": transaction_id(account.last_lt, &state.last_hash(address)),
        "block_id": block(-1, state.seqno()),
        "frozen_hash": "",
        "sync_utime": account.chain_time_s,
    }))
}

fn transaction_id(lt: u64, hash: &[u8; 32]) -> Value {
    json!({ "@type": "internal.transactionId", "lt": lt.to_string(), "hash": BASE64.encode(hash) })
}

fn send(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let boc = BASE64.decode(text_in(params, "boc")?).map_err(|_| bad("boc is not base64"))?;
    match devnet.state().deliver(&boc) {
        Ok(()) => Ok(json!({ "@type": "ok" })),
        // Clients find the exit code in these words.
        Err(ChainError::Refused { exit_code: Some(code), .. }) => Err(Failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "LITE_SERVER_UNKNOWN: cannot apply external message to current state : External message was not \
                 accepted\nexitcode={code}, steps=0, gas_used=0"
            ),
        )),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn run_get_method(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let address = address_in(params)?;
    let method = match params.get("method") {
        Some(Value::String(name)) => method_id(name),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| bad("method is not a name or a number"))?,
        None => return Err(bad("method is required")),
    };
    let none = Vec::new();
    let given = params.get("stack").and_then(Value::as_array).unwrap_or(&none);
    if given.len() > STACK_MAX {
        return Err(bad(format!("a stack has at most {STACK_MAX} values")));
    }
    let given = given.iter().map(stack::read).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let state = devnet.state();
    let answer = state.get_method(address, method, given)?;
    let (exit_code, gas, left) = answer.map_or((-256, 0, Vec::new()), |answer| {
        let shown = answer.stack.iter().map(|value| stack::show(value, TUPLE_DEPTH_MAX)).collect();
        (answer.exit_code, answer.gas, shown)
    });
    Ok(json!({
        "@type": "smc.runResult", "gas_used": gas, "stack": left, "exit_code": exit_code,
        "block_id": block(-1, state.seqno()),
    }))
}

fn transactions(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let address = address_in(params)?;
    let limit = usize::try_from(number_in(params, "limit", 10)?).unwrap_or(usize::MAX);
    let (from, to) = (number_in(params, "lt", u64::MAX)?, number_in(params, "to_lt", 0)?);
    let state = devnet.state();
    let records = state
        .history
        .of(address)
        .filter(|record| record.lt <= from && record.lt > to)
        .take(limit.min(TRANSACTIONS_MAX));
    let mut list = Vec::new();
    for record in records {
        let transaction = Transaction::read(&record.cell)?;
        let mut entry = json!({
            "@type": "raw.transaction",
            "address": { "@type": "accountAddress", "account_address": friendly(address, true) },
            "utime": transaction.at_s,
            "data": BASE64.encode(Boc::encode(&record.cell)),
            "transaction_id": transaction_id(record.lt, &record.hash),
            "fee": transaction.fee.0.to_string(),
            "storage_fee": "0",
            "other_fee": transaction.fee.0.to_string(),
            "out_msgs": transaction.outgoing.iter().map(message).collect::<Vec<_>>(),
        });
        if let Some(incoming) = &transaction.incoming {
            entry["in_msg"] = message(incoming);
        }
        list.push(entry);
    }
    Ok(json!(list))
}

fn message(message: &Message) -> Value {
    let party = |address: Option<Address>| address.map(|address| friendly(address, true)).unwrap_or_default();
    json!({
        "@type": "raw.message",
        "source": party(message.from),
        "destination": party(message.to),
        "value": message.value.0.to_string(),
        "fwd_fee": message.forward_fee.0.to_string(),
        "ihr_fee": "0",
        "created_lt": message.created_lt.to_string(),
        "body_hash": BASE64.encode(message.body.repr_hash().0),
        "msg_data": { "@type": "msg.dataRaw", "body": BASE64.encode(Boc::encode(&message.body)), "init_state": "" },
        "message": "",
    })
}
