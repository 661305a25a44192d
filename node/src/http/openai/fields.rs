//! Reading a JSON object field by field, so that an error names the field and never quotes its value.

use serde_json::{Map, Value};

use crate::http::errors::ApiError;

/// A JSON object and where it stands in the request. `null` counts as absent.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    pub(super) const fn root(map: &'a Map<String, Value>) -> Self {
        Self { map, path: String::new() }
    }

    pub(super) const fn at(map: &'a Map<String, Value>, path: String) -> Self {
        Self { map, path }
    }

    /// Returns the field's full name, such as `messages[0].role`.
    pub(super) fn name(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Returns every field that says something.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.map.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn wrong(&self, field: &str, expected: &str) -> ApiError {
        ApiError::field(self.name(field), expected)
    }

    pub(super) fn value(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn required(&self, field: &str) -> Result<&'a Value, ApiError> {
        self.value(field).ok_or_else(|| self.wrong(field, "is missing"))
    }

    pub(super) fn text(&self, field: &str) -> Result<&'a str, ApiError> {
        self.required(field)?.as_str().ok_or_else(|| self.wrong(field, "must be a string"))
    }

    pub(super) fn flag(&self, field: &str) -> Result<bool, ApiError> {
        let Some(value) = self.value(field) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(field, "must be true or false"))
    }

    pub(super) fn object(&self, field: &str) -> Result<Option<Fields<'a>>, ApiError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.wrong(field, "must be an object"))?;
        Ok(Some(Fields::at(map, self.name(field))))
    }

    pub(super) fn integer(&self, field: &str, min: u64, max: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (min..=max).contains(number));
        let bounds = if max == u64::MAX { format!("{min} on") } else { format!("{min} to {max}") };
        number.map(Some).ok_or_else(|| self.wrong(field, &format!("must be a whole number from {bounds}")))
    }

    /// Returns a limit on tokens: any whole number from 1. One that is beyond every model means the same as the largest.
    pub(super) fn limit(&self, field: &str) -> Result<Option<u32>, ApiError> {
        let limit = self.integer(field, 1, u64::MAX)?;
        Ok(limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)))
    }

    /// Returns a decimal number from 0 to `max`, in thousandths.
    pub(super) fn thousandths(&self, field: &str, max: u32) -> Result<Option<u32>, ApiError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let number = value.as_f64().filter(|number| (0.0..=f64::from(max)).contains(number));
        let number = number.ok_or_else(|| self.wrong(field, &format!("must be a number from 0 to {max}")))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was just checked"
        )]
        Ok(Some((number * 1000.0).round() as u32))
    }
}
