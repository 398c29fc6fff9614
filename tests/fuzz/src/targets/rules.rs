use antar::model::{FacetFilter, FacetSpec, TypeFilter};
use antar::pipeline::compiled::subscription::Subscription;
use antar_json::{Document, Limits, Steps};
use antar_rules::{Index, Pattern};

use super::{halves, joined};
use crate::dice::Dice;
use crate::grow;

const LIMITS: Limits = Limits { bytes_max: 4 << 20, depth_max: 64 };

pub(super) fn corpus() -> Vec<Vec<u8>> {
    let event =
        r#"{"type":"a.b","data":{"labels":["vip","new"],"n":5,"l":[{"x":1,"y":2},{"x":2,"y":1}]}}"#;
    [
        r#"{"data":{"labels":[{"prefix":"vip"}],"n":[{"numeric":[">=",1,"<",10]}]}}"#,
        r#"{"type":["a.b"],"$or":[{"data":{"l":{"x":[1],"y":[2]}}},{"data":{"gone":[{"exists":false}]}}]}"#,
        r#"{"data":{"labels":[{"anything-but":{"wildcard":"*x*y*"}}],"ip":[{"cidr":"10.0.0.0/8"}]}}"#,
    ]
    .map(|pattern| joined(pattern, event))
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    joined(&grow::rules::pattern(dice), &grow::json::document(dice))
}

/// The evaluator, its explanation and the index agree.
pub(super) fn read(input: &[u8]) {
    let (pattern, event) = halves(input);
    let (Ok(pattern), Ok(event)) =
        (Document::parse(pattern, LIMITS), Document::parse(event, LIMITS))
    else {
        return;
    };
    let Ok(pattern) = Pattern::parse(pattern.root()) else { return };
    let matches = pattern.matches(event.root());
    assert_eq!(pattern.explain(event.root()).is_none(), matches);
    let mut index = Index::new();
    index.insert(1, pattern.clone());
    assert_eq!(index.matches(event.root()).len(), usize::from(matches));
    assert!(index.remove(&1) && index.is_blank());
}

/// The filter's values, one in each line, then the event.
pub(super) fn facet_corpus() -> Vec<Vec<u8>> {
    vec![
        joined(
            "Sales\n1\ntrue",
            r#"{"type":"a.b","data":{"inbox":{"name":["Sales",1,true,null]}}}"#,
        ),
        joined("Sales", r#"{"type":"a.b","data":{"inbox":{"name":"Sales"}}}"#),
    ]
}

pub(super) fn facet_grow(dice: &mut Dice) -> Vec<u8> {
    let values: Vec<_> = (0..dice.count(200)).map(|_| grow::json::scalar(dice)).collect();
    let found: Vec<_> = (0..dice.count(2_000)).map(|_| grow::json::scalar(dice)).collect();
    let event =
        format!("{{\"type\":\"a.b\",\"data\":{{\"inbox\":{{\"name\":[{}]}}}}}}", found.join(","));
    joined(&values.join("\n"), &event)
}

/// The index never leaves out an event that the facets accept, and each refusal has a reason.
pub(super) fn facet_read(input: &[u8]) {
    let (values, event) = halves(input);
    let Ok(event) = Document::parse(event, LIMITS) else { return };
    let values: Vec<String> =
        String::from_utf8_lossy(values).lines().map(ToOwned::to_owned).collect();
    let spec = FacetSpec {
        name: "inbox".into(),
        path: "inbox.name".into(),
        label: None,
        event_types: Vec::new(),
    };
    let filters = [
        FacetFilter::Any(values.clone()),
        FacetFilter::None { none: values.clone() },
        FacetFilter::All { all: values },
    ];
    let Ok(every) = "*".parse::<TypeFilter>() else { return };
    for filter in filters {
        let facets = vec![(spec.clone(), filter)];
        let subscription = Subscription::new(vec![every.clone()], facets, Pattern::match_all());
        let steps = Steps::unlimited();
        let accepts = subscription.accept("a.b", event.root(), &steps) == Ok(true);
        let why_not = subscription.why_not("a.b", event.root(), &steps).ok().flatten();
        assert_eq!(why_not.is_none(), accepts);
        assert!(
            !accepts || subscription.pattern().matches(event.root()),
            "the index leaves it out"
        );
    }
}
