//! The devnet's page for people: what happened, who holds what, which channels there are; and the faucet.
//!
//! | request | shows |
//! |---|---|
//! | `GET /` | newest blocks and transactions, channels, accounts, the faucet's form |
//! | `GET /account/{address}` | one account with its channel or its purse and lanes, and its transactions |
//! | `GET /find?address=` | leads to an account |
//! | `GET /give?address=&amount=` | the faucet, then leads to the account |
//!
//! Plain HTML without scripts; each page names everything that it needs. Nothing from outside gets on a page unescaped.

mod contracts;
mod html;
mod page;
mod views;

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use bombyx_protocol::amount::Nano;

use self::html::{clip, escape, link, short};
use self::page::Page;
use super::backend::Devnet;
use super::config::DEVNET_ID;
use crate::ledger::clock::clock;
use crate::ledger::wallet::parse_address;

const STYLE: &str = include_str!("style.css");
/// What a browser may load for these pages: nothing but their own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'";

/// Returns the first page.
pub(super) fn front(devnet: &Devnet) -> Response {
    // The look is over before the page asks the devnet for its time.
    let body = Page::new(devnet).front();
    page(StatusCode::OK, devnet, "Bombyx devnet", &body)
}

/// Returns an account's page.
pub(super) fn account(devnet: &Devnet, text: &str) -> Response {
    match parse_address(text) {
        Some(address) => {
            let body = Page::new(devnet).account(address);
            page(StatusCode::OK, devnet, &short(address), &body)
        }
        None => {
            wrong(devnet, &format!("“{}” is not an address; it looks like 0:… or EQ… or UQ…", clip(text)))
        }
    }
}

/// Leads to an account.
pub(super) fn find(devnet: &Devnet, text: &str) -> Response {
    match parse_address(text.trim()) {
        Some(address) => Redirect::to(&link(address)).into_response(),
        None => account(devnet, text),
    }
}

/// Gives coins and redirects to the account that has them now.
pub(super) fn give(devnet: &Devnet, address: &str, amount: &str) -> Response {
    let Some(receiver) = parse_address(address.trim()) else { return account(devnet, address) };
    let given = Nano::from_coins(amount.trim())
        .map_err(|error| error.to_string())
        .and_then(|amount| devnet.faucet(receiver, amount).map_err(|error| error.to_string()));
    match given {
        Ok(()) => Redirect::to(&link(receiver)).into_response(),
        Err(why) => wrong(devnet, &why),
    }
}

fn wrong(devnet: &Devnet, why: &str) -> Response {
    let front = Page::new(devnet).front();
    let body = format!("<p class=notice>{}</p>{front}", escape(why));
    page(StatusCode::BAD_REQUEST, devnet, "Bombyx devnet", &body)
}

fn page(status: StatusCode, devnet: &Devnet, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{title}</title><style>{STYLE}</style><header><div><strong><a href=/>Bombyx devnet</a></strong>\
         <span class=soft>network {DEVNET_ID} · chain time {time}</span><form action=/find><input name=address \
         placeholder='address' aria-label=address> <button>Find</button></form></div></header><main>{body}<footer>A private \
         ledger in one process: real contracts in a real virtual machine at mainnet’s prices, no consensus. Its coins are \
         worth nothing. Reload to see what happened since.</footer></main></html>",
        title = escape(title),
        time = clock(devnet.now_s()),
    );
    (status, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response()
}
