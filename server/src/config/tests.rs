//! Where settings come from, and which are refused.

use super::*;

fn load(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

#[test]
fn the_environment_sets_what_it_names() {
    let config = load(&[
        ("ANTAR_DATA_DIR", "/srv/antar"),
        ("ANTAR_INTAKE_EVENTS_MAX", "7"),
        ("ANTAR_DELIVERY_ALLOWED_NETWORKS", r#"["10.0.0.0/8"]"#),
        ("ANTAR_DEV", "true"),
        ("ANTAR_KEY", "not a setting"),
    ])
    .unwrap();
    assert_eq!(config.server.data_dir, Path::new("/srv/antar"));
    assert_eq!(config.intake.events_max, 7);
    assert_eq!(config.delivery.allowed_networks.len(), 1);
    assert!(config.server.dev);
}

#[test]
fn what_is_wrong_is_named() {
    let error = load(&[("ANTAR_INTAKE_EVENTS_MAX", "many")]).unwrap_err().to_string();
    assert!(error.starts_with("ANTAR_INTAKE_EVENTS_MAX: `many`"), "{error}");
    let error = load(&[("ANTAR_INTAKE_EVENTS_MAX", "0")]).unwrap_err().to_string();
    assert_eq!(error, "intake.events_max: is 1 or more");
    let error = load(&[("ANTAR_STORE_LEASE_MS", "-1")]).unwrap_err().to_string();
    assert_eq!(error, "store.lease_ms: is 1 or more");
}

#[test]
fn every_setting_is_explained() {
    for setting in Config::settings() {
        assert!(setting.explanation.ends_with('.'), "{}", setting.path);
    }
}
