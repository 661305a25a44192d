//! Values on a get-method's stack, as toncenter's interface writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use num_bigint::{BigInt, Sign};
use serde_json::{Value, json};
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, CellSliceParts};
use tycho_vm::{OwnedCellSlice, RcStackValue, SafeRc};

/// Reads one `[type, value]` pair.
pub(super) fn read(pair: &Value) -> Result<RcStackValue, &'static str> {
    let part = |index: usize| pair.get(index).and_then(Value::as_str);
    let (Some(kind), Some(text)) = (part(0), part(1)) else {
        return Err("a stack holds pairs of a type and a text");
    };
    let cell = || Boc::decode_base64(text).map_err(|_| "a stack value is not a bag of cells");
    match kind {
        "num" => {
            let text = text.trim();
            let (sign, digits) =
                text.strip_prefix('-').map_or((Sign::Plus, text), |rest| (Sign::Minus, rest));
            let number = match digits.strip_prefix("0x") {
                Some(hex) => BigInt::parse_bytes(hex.as_bytes(), 16),
                None => BigInt::parse_bytes(digits.as_bytes(), 10),
            };
            let number = number.filter(|number| number.bits() <= 256);
            let number = number.ok_or("a stack value is not a 257-bit number")?;
            let number = if sign == Sign::Minus { -number } else { number };
            Ok(RcStackValue::new_dyn_value(number))
        }
        "tvm.Cell" => Ok(SafeRc::into_dyn_value(SafeRc::<Cell>::new(cell()?))),
        "tvm.Slice" => Ok(RcStackValue::new_dyn_value(OwnedCellSlice::from(CellSliceParts::from(cell()?)))),
        _ => Err("a stack value is num, tvm.Cell or tvm.Slice"),
    }
}

/// Writes one value of a get-method's stack.
pub(super) fn show(value: &RcStackValue, depth: usize) -> Value {
    let boc = |cell: &Cell| json!(["cell", { "bytes": BASE64.encode(Boc::encode(cell)) }]);
    if value.is_null() {
        return json!(["list", { "@type": "tvm.list", "elements": [] }]);
    }
    if let Some(number) = value.as_int() {
        let sign = if number.sign() == Sign::Minus { "-" } else { "" };
        return json!(["num", format!("{sign}0x{:x}", number.magnitude())]);
    }
    if let Some(cell) = value.as_cell() {
        return boc(cell);
    }
    if let Some(slice) = value.as_cell_slice() {
        let mut builder = CellBuilder::new();
        if builder.store_slice(slice.apply()).is_ok()
            && let Ok(cell) = builder.build()
        {
            return boc(&cell);
        }
    }
    if let (Some(parts), Some(depth)) = (value.as_tuple(), depth.checked_sub(1)) {
        let parts: Vec<Value> = parts.iter().map(|part| show(part, depth)).collect();
        return json!(["tuple", { "@type": "tvm.tuple", "elements": parts }]);
    }
    json!(["unsupported", {}])
}
