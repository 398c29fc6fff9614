//! The cache of compiled code: found again after a restart, never trusted when changed, of this
//! version only, bounded.

use std::{fs, path::Path, sync::Arc};

use antar_test_guests::filter;
use tempfile::TempDir;

use super::{
    super::{CompileIn, Kind, Known, PoolName},
    *,
};

/// A filter that passes everything. Each `note` makes a file with another digest.
fn passes(note: &str) -> Bytes {
    filter(1, &format!("(data (i32.const 4000) \"{note}\")")).into()
}

fn host(folder: &Path, limits: Limits) -> Host {
    Host::open(limits, CompileIn::ThisProcess, Some(folder), Arc::new(|| 0)).unwrap()
}

async fn compiled(host: &Host, wasm: &Bytes) -> Plugin {
    host.compile(wasm.clone(), &Owner::default()).await.unwrap()
}

fn files(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "code")).collect()
}

async fn works(host: &Host, plugin: &Plugin) {
    assert_eq!(host.call(plugin, call("{}", "{}")).await.result, Ok(Outcome::Pass));
}

#[tokio::test]
async fn a_restart_compiles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = passes("one");
    let (digest, inspection) = {
        let host = host(folder.path(), limits());
        let plugin = compiled(&host, &wasm).await;
        assert_eq!((plugin.kind(), host.compiler.compiled()), (Kind::Filter, 1));
        (plugin.digest().to_owned(), plugin.inspection().clone())
    };
    let host = host(folder.path(), limits());
    let (description, config_schema) = ("d".into(), String::new());
    let pool = Some(PoolName::Small);
    let known = Known { digest, size_bytes: 1, description, config_schema, inspection, pool };
    let plugin = host.load(known, &Owner::default()).await.unwrap();
    assert!(plugin.is_ready());
    works(&host, &plugin).await;
    assert_eq!((plugin.description(), host.compiler.compiled()), ("d", 0));
}

#[tokio::test]
async fn changed_code_is_not_run_but_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = passes("one");
    drop(compiled(&host(folder.path(), limits()), &wasm).await);
    let file = files(&folder).remove(0);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&flipped[..], &good[..40], b"", &[0; 200]] {
        fs::write(&file, bad).unwrap();
        let host = host(folder.path(), limits());
        works(&host, &compiled(&host, &wasm).await).await;
        assert_eq!(host.compiler.compiled(), 1);
        assert_eq!(fs::read(&file).unwrap().len(), good.len());
    }
    // Code of another plugin under this one's name is refused as well.
    let host = host(folder.path(), limits());
    let other = passes("two");
    drop(compiled(&host, &other).await);
    let theirs = files(&folder).into_iter().find(|path| *path != file).unwrap();
    fs::copy(theirs, &file).unwrap();
    works(&host, &compiled(&host, &wasm).await).await;
    assert_eq!(host.compiler.compiled(), 2);
}

#[tokio::test]
async fn the_cache_of_another_version_is_ignored_and_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = passes("one");
    drop(compiled(&host(folder.path(), limits()), &wasm).await);
    let file = files(&folder).remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let (version, rest) = name.split_once('-').unwrap();
    assert_eq!(version.len(), 16);
    // As an older server would have left the file.
    let older = folder.path().join(format!("{}-{rest}", "0".repeat(16)));
    fs::rename(&file, &older).unwrap();
    let host = host(folder.path(), limits());
    works(&host, &compiled(&host, &wasm).await).await;
    assert_eq!(host.compiler.compiled(), 1);
    assert!(file.exists() && !older.exists());
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = host(folder.path(), limits());
    drop(compiled(&first, &passes("one")).await);
    let one = files(&folder).remove(0);
    let bytes = fs::metadata(&one).unwrap().len();
    drop(compiled(&first, &passes("two")).await);
    let two = files(&folder).into_iter().find(|path| *path != one).unwrap();
    drop(first);
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(&two).unwrap().set_modified(long_ago).unwrap();
    let host = host(folder.path(), Limits { cache_bytes_max: bytes * 5 / 2, ..limits() });
    drop(compiled(&host, &passes("three")).await);
    assert!(one.exists() && !two.exists());
    assert_eq!(files(&folder).len(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_servers_user_can_read_the_key_and_the_code() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("code");
    drop(compiled(&host(&inner, limits()), &passes("one")).await);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for file in fs::read_dir(&inner).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}
