use super::*;

fn list(patterns: &[&str]) -> AllowList {
    AllowList::new(patterns.iter().map(|p| p.parse().unwrap()).collect())
}

// R-7.1a-4: what a domain list must refuse beyond the vectors.
#[test]
fn the_rule_refuses_what_parsers_disagree_about() {
    let list = list(&["https://*.cmp.com", "cmpapp://"]);
    for good in [
        "https://www.cmp.com",
        "https://WWW.CMP.com/",
        "https://www.cmp.com/a%20b?x=y&x=z",
        "cmpapp://a?b=c",
    ] {
        assert!(list.check(good).is_ok(), "{good}");
    }
    for bad in [
        "http://www.cmp.com/",
        "https:/www.cmp.com/",
        "https:www.cmp.com",
        "https:///www.cmp.com",
        "https://www.cmp.com.",
        "https://www.cmp.com./",
        "https://www.cmp.com:/",
        "https://www.cmp.com:0443/",
        "https://www.cmp.com:65979/",
        "https://www.cmp.com#@evil.example",
        "https://evil.example#www.cmp.com",
        "https://www.cmp.com/#x",
        "https://[::1]/",
        "https://www.cmp.com\t/",
        "https://www.cmp.com/\n",
        "https://www_cmp.com/",
        "https://-.cmp.com/",
        "https://*.cmp.com/",
        "https://www.cmp.com/%",
        "https://www.cmp.com/%zz",
        "https://www.cmp.com/%+1",
        "https://www.cmp.com/%00",
        "https://www.cmp.com/?%69d=x",
        "https://www.cmp.com/?a=b;id=x",
        "https://www.cmp.com/?ID=x",
        "https://www.cmp.com/?error",
        "cmpapp:return",
        "cmpapp:/return",
        "cmpapp://a@b",
        "xcmpapp://a",
        "https://cmpapp://a",
        "wss://www.cmp.com/",
        "https://www.cmp.com\u{ad}/",
        "https://ẃww.cmp.com/",
        "https://www.cmp.com,evil.example/",
    ] {
        assert!(list.check(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pattern_may_fix_host_port_and_path() {
    let list = list(&[
        "https://localhost:4443/onboarding/return",
        "https://cmp.com",
    ]);
    assert!(
        list.check("https://localhost:4443/onboarding/return?state=x")
            .is_ok()
    );
    assert!(list.check("https://cmp.com/any").is_ok());
    for bad in [
        "https://localhost/onboarding/return",
        "https://localhost:4443/onboarding/return/",
        "https://localhost:4443/onboarding/../onboarding/return",
        "https://www.cmp.com/",
    ] {
        assert_eq!(list.check(bad), Err(RedirectError::NotAgreed));
    }
    for bad in [
        "*.cmp.com",
        "http://cmp.com",
        "https://*.com",
        "https://a.*.com",
        "javascript://",
        "https://",
        "app://x",
        "https://a?b",
    ] {
        assert!(bad.parse::<Pattern>().is_err(), "{bad}");
    }
    assert_eq!(
        AllowList::default().check("https://cmp.com/"),
        Err(RedirectError::NotAgreed)
    );
}

// R-5.5-7, R-7.2.2-2: each code of a redirect is one of table 10, its text encoded and without quotes.
#[test]
fn codes_of_redirects_are_those_of_the_table() {
    let list = list(&["https://*.msp.com"]);
    let uri = list.check("https://a.msp.com/return?foo=bar").unwrap();
    for (code, number) in [
        (ErrorCode::Content, "100"),
        (ErrorCode::Login, "101"),
        (ErrorCode::Aborted, "102"),
        (ErrorCode::Unavailable, "103"),
    ] {
        let text = uri.with_error(code);
        let (_, added) = text.split_once("?foo=bar&code=").unwrap();
        let (got, error) = added.split_once("&error=").unwrap();
        assert_eq!(got, number);
        assert_eq!(percent_decode(error), code.description());
        assert!(!error.contains(['"', ' ', '+', '&', '#']));
    }
    // No code leaves a placeholder of the table.
    for code in ErrorCode::ALL {
        assert!(!percent_decode(&uri.with_error(*code)).contains("%s"));
    }
}

// R-7.2-1, R-7.2.1-1, R-7.2.2-1, R-7.1b-3
#[test]
fn fields_are_appended_and_nothing_else_changes() {
    let list = list(&["https://*.msp.com"]);
    let uri = |text: &str| list.check(text).unwrap();
    let error = "code=102&error=Onboarding%20aborted%20by%20user";
    for (given, sep) in [
        ("https://a.msp.com", "?"),
        ("https://a.msp.com/return?", ""),
        ("https://a.msp.com/return?foo=b%20r", "&"),
        ("https://a.msp.com/return?foo&", ""),
    ] {
        assert_eq!(
            uri(given).with_error(ErrorCode::Aborted),
            format!("{given}{sep}{error}")
        );
    }
    assert_eq!(
        percent_encode("https://x/?a=b&c"),
        "https%3A%2F%2Fx%2F%3Fa%3Db%26c"
    );
}

proptest::proptest! {
    // Whatever is let through, the host lies below the agreed domain for an independent reading of the text.
    #[test]
    fn nothing_but_the_domain_is_let_through(text in "https://[a-z.:@/\\\\?#%0-9]{0,20}(cmp\\.com)?[a-z.:@/?#%]{0,12}") {
        if list(&["https://*.cmp.com"]).check(&text).is_ok() {
            let authority = text["https://".len()..].split(['/', '?', '#', '\\']).next().unwrap();
            proptest::prop_assert!(authority.trim_end_matches(":443").ends_with(".cmp.com"));
        }
    }
}
