//! Redirect URIs (AID.02 §7.1): the vectors beside the workspace, where they are.
// A test that cannot set itself up has failed.
#![allow(clippy::unwrap_used)]

use aid_aid1::redirect::AllowList;
use serde_json::Value;

// R-7.1a-4, R-7.1b-4
#[test]
fn vectors() {
    let Some(text) = aid_needs::shared_text("spec/vectors/redirect_uri.json") else {
        return;
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    let patterns = all["allow_list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_str().unwrap().parse().unwrap());
    let list = AllowList::new(patterns.collect());
    for vector in all["vectors"].as_array().unwrap() {
        let uri = vector["uri"].as_str().unwrap();
        let expected = vector["expect"] == "allow";
        assert_eq!(
            list.check(uri).is_ok(),
            expected,
            "{uri:.100}: {}",
            vector["why"]
        );
    }
}
