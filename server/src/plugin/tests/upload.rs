//! Which uploads are accepted, and which are refused and why.

use antar_test_guests::from_text;

use super::{
    super::{HostError, Kind, Known, UploadError},
    *,
};

async fn refused(wasm: impl Into<Bytes>) -> UploadError {
    let host = Host::new(limits()).unwrap();
    host.compile(wasm.into(), &Owner::default()).await.unwrap_err()
}

#[tokio::test]
async fn an_upload_is_known_by_its_digest_and_can_be_loaded_again() {
    let Bench { host, plugin } = Bench::new(Guest::Hostile).await;
    assert_eq!(plugin.kind(), Kind::Transform);
    assert_eq!(plugin.config_schema(), None);
    assert_eq!(plugin.digest().len(), 64);
    assert_eq!(plugin.size_bytes(), Guest::Hostile.wasm().len() as u64);
    let known = Known {
        digest: plugin.digest().to_owned(),
        size_bytes: plugin.size_bytes(),
        description: plugin.description().to_owned(),
        config_schema: String::new(),
        inspection: plugin.inspection().clone(),
        pool: plugin.pool(),
    };
    let again = host.load(known, &Owner::default()).await.unwrap();
    // This host has no cache.
    let report = host.call(&again, call("{}", "{}")).await;
    assert_eq!(report.result, Err(CallError::NotReady { retry_in_ms: 1_000 }));
    assert_eq!((again.is_ready(), again.kind(), again.pool()), (false, Kind::Transform, None));
    let turn = host.turn("acme").await;
    host.recompile(turn, &again, Guest::Hostile.wasm().into()).await.unwrap();
    assert_eq!(again.pool(), plugin.pool());
    assert_eq!(again.digest(), plugin.digest());
    let report = host.call(&again, call("{}", "{}")).await;
    assert_eq!(report.result, Ok(Outcome::Pass));
}

#[tokio::test]
async fn an_import_that_is_not_allowed_is_refused_by_name() {
    let evil = from_text(
        r#"(component
            (import "antar:plugin/log@1.0.0" (instance))
            (import "evil:net/http@1.0.0" (instance (export "get" (func))))
            (import "exec" (func)))"#,
    );
    let error = refused(evil).await;
    assert!(
        matches!(&error, UploadError::Imports(names) if names == &["evil:net/http@1.0.0", "exec"])
    );
    assert!(error.to_string().ends_with("this one imports evil:net/http@1.0.0, exec"), "{error}");
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    assert!(matches!(refused(&b""[..]).await, UploadError::NotWasm));
    assert!(matches!(refused(&b"(component)"[..]).await, UploadError::NotWasm));
    assert!(matches!(refused(&b"\x7fELF....."[..]).await, UploadError::NotWasm));
    let garbage = refused(&b"\0asm\x0d\0\x01\0garbage"[..]).await;
    assert!(matches!(garbage, UploadError::Component(_)), "{garbage:?}");
    let nothing = refused(from_text("(component)")).await;
    assert!(nothing.to_string().ends_with("this one exports nothing"), "{nothing}");
    let import = r#"(import "env" "now" (func))"#;
    let bare = refused(from_text(&format!("(module {import})"))).await;
    assert!(matches!(&bare, UploadError::Module(why) if why.contains("must export")), "{bare:?}");
    let export = r#"(func (export "antar:plugin/filter@1.0.0#run"))"#;
    let foreign = refused(from_text(&format!("(module {import} {export})"))).await;
    assert!(matches!(&foreign, UploadError::Module(why) if why.contains("env")), "{foreign:?}");
    let half = from_text(
        r#"(component (instance $i) (export "antar:plugin/filter@1.0.0" (instance $i)))"#,
    );
    let half = refused(half).await;
    assert!(matches!(&half, UploadError::Component(why) if why.contains("describe")), "{half:?}");
}

#[tokio::test]
async fn limits_of_size_are_checked_at_upload() {
    let host = Host::new(Limits { upload_bytes_max: 64 << 10, ..limits() }).unwrap();
    let large = host.compile(vec![0; (64 << 10) + 1].into(), &Owner::default()).await.unwrap_err();
    assert!(matches!(large, UploadError::TooLarge { size_bytes: 65_537, limit_bytes: 65_536 }));
}

#[test]
fn limits_are_read_strictly_and_a_wrong_one_is_named() {
    let read = |text: &str| serde_json::from_str::<Limits>(text);
    assert_eq!(read(r#"{"call_time_ms": 7}"#).unwrap().call_time_ms, 7);
    assert_eq!(read("{}").unwrap(), Limits::default());
    assert!(read(r#"{"call_time": 7}"#).is_err());
    let Err(error) = Host::new(Limits { memory_bytes_max: 7, ..limits() }) else { panic!() };
    assert!(matches!(&error, HostError::TooLow { name: "memory_bytes_max", .. }), "{error}");
}

#[tokio::test]
async fn more_uploads_than_may_wait_are_refused_as_busy() {
    let host = Host::new(Limits { tenant_uploads_waiting_max: 2, ..limits() }).unwrap();
    let wasm = || Bytes::from(Guest::Hostile.wasm());
    let owner = Owner::default();
    let occupied = host.turns.occupied().await;
    let first = host.take(wasm(), &owner).await.unwrap();
    let second = host.take(wasm(), &owner).await.unwrap();
    let refused = host.compile(wasm(), &owner).await.unwrap_err();
    assert!(matches!(refused, UploadError::Busy { uploads: 2, limit: 2, .. }), "{refused}");
    // One upload gives up waiting and leaves its place to another.
    drop(second);
    let third = host.compile(wasm(), &owner);
    drop(occupied);
    let (first, third) = tokio::join!(host.compile_taken(first, &owner), third);
    assert_eq!(first.unwrap().digest(), third.unwrap().digest());
}
