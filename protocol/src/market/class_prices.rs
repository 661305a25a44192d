//! What one provider wants for tasks of some size classes, as it last said.

use crate::market::call::Classes;
use crate::time::Time;
use crate::work::price::Price;

/// Classes of tasks for which the price of one provider is known: more than a client has at a time.
const CLASSES_MAX: usize = 4;

/// The prices of one provider, by class, the newest last. (`MK-64`)
#[derive(Debug, Clone, Default)]
pub(super) struct ClassPrices(Vec<ClassPrice>);

#[derive(Debug, Clone, Copy)]
struct ClassPrice {
    classes: Classes,
    price: Price,
    until: Time,
}

impl ClassPrices {
    /// Notes a price for tasks of these classes that counts until then.
    pub(super) fn note(&mut self, now: Time, classes: Classes, price: Price, until: Time) {
        self.0.retain(|other| other.classes != classes && other.until > now);
        if self.0.len() >= CLASSES_MAX {
            self.0.remove(0);
        }
        self.0.push(ClassPrice { classes, price, until });
    }

    /// Returns the last price for tasks of these classes, if it counts still.
    pub(super) fn price(&self, now: Time, classes: Classes) -> Option<Price> {
        let of_class = self.0.iter().find(|known| known.classes == classes && known.until > now);
        of_class.map(|known| known.price)
    }
}
