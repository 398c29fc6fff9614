//! Both databases have the same migrations.

use std::collections::BTreeSet;

use crate::sources::root;

fn names(database: &str) -> BTreeSet<String> {
    let folder = root().join("migrations").join(database);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn sqlite_and_postgres_have_the_same_numbers() {
    let sqlite = names("sqlite");
    assert!(!sqlite.is_empty());
    assert_eq!(sqlite, names("postgres"));
}

#[test]
fn every_migration_can_be_applied() {
    for database in ["sqlite", "postgres"] {
        for name in names(database) {
            let file = root().join("migrations").join(database).join(&name).join("up.sql");
            let text = std::fs::read_to_string(&file)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(!text.trim().is_empty(), "{} is empty", file.display());
        }
    }
}
