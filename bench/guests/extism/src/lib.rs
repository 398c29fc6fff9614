//! Filter and transform for Extism.

use antar_json::Document;
use extism_pdk::{FnResult, plugin_fn};

#[plugin_fn]
pub fn filter(data: String) -> FnResult<String> {
    let data: Document = data.parse()?;
    Ok(if bench_work::wanted(data.root()) { "pass".into() } else { "drop".into() })
}

#[plugin_fn]
pub fn transform(data: String) -> FnResult<String> {
    let data: Document = data.parse()?;
    Ok(bench_work::reshaped(data.root()).text().to_owned())
}
