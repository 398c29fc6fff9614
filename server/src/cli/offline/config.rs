//! `antar config`: lists all settings with their explanations, defaults and values.

use serde_json::{Value as Json, json};

use super::options::{ServerOptions, environment};
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, Screen};
use crate::config::{Config, Setting};

/// Lists every setting: what it means, its default, its variable, and what it is now.
///
/// Reads the same file and environment as `antar serve`, and checks them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: ServerOptions,
    /// Print docs/configuration.md instead.
    #[arg(long)]
    markdown: bool,
}

const EXAMPLES: &str = "\
Examples:
  antar config
  antar config --config /etc/antar.yaml
  antar config --markdown > docs/configuration.md";

/// Title and purpose of each group.
const GROUPS: &[(&str, &str)] = &[
    ("server", "Where the server listens and keeps its things."),
    ("intake", "What is taken in."),
    (
        "work",
        "Work of tenants that would keep others waiting: a few threads do it, and take tenants in turn.",
    ),
    ("loops", "Events that come back, because a webhook sends them to where they came from."),
    ("delivery", "How requests go out."),
    ("store", "The database."),
    ("tenant", "What tenants may configure."),
    ("rejections", "Calls and events that were refused, and are kept for a while."),
    ("replay", "How old events are sent again."),
    ("retention", "How long what has happened is kept."),
    ("plugins", "What one call of a plugin may use, and how many run at once."),
    ("templates", "Bounds of one template."),
];

/// Settings that are explained next to their type, in the plugin host and the template crate.
const ELSEWHERE: &[(&str, &str)] = &[
    ("plugins.call_time_ms", "How long one call may take, from making the instance to its answer."),
    ("plugins.describe_time_ms", "The same for the one call of `describe` at upload."),
    (
        "plugins.wait_time_ms",
        "How long a call waits for a free instance before it is given up as busy.",
    ),
    (
        "plugins.instances_max",
        "Calls that run at once in the small pool. A tenant never has more of them than it leaves to all others.",
    ),
    ("plugins.memory_bytes_max", "Memory of one instance in the small pool; at least 1 MiB."),
    ("plugins.large_instances_max", "Calls that run at once in the large pool, for interpreters."),
    ("plugins.large_memory_bytes_max", "Memory of one instance in the large pool."),
    ("plugins.instances_per_plugin_max", "Calls of one plugin at once, at most half of its pool."),
    (
        "plugins.long_calls_max",
        "Calls that run at once after their first millisecond, of one tenant half of them; 0 for half of the cores.",
    ),
    (
        "plugins.config_bytes_max",
        "The config of one call, with the secrets that it names filled in, in bytes.",
    ),
    (
        "plugins.config_secrets_max",
        "Different secrets that the configs of one webhook's plugins name.",
    ),
    (
        "plugins.warm_memories_max",
        "Larger memories that stay prepared for the plugin that last used them; each takes 4 GiB of address space.",
    ),
    ("plugins.stack_bytes_max", "Stack of one instance that the host keeps for it."),
    ("plugins.table_elements_max", "Elements in one function table."),
    (
        "plugins.output_bytes_max",
        "All text of one answer together: data, attributes, headers, reasons.",
    ),
    ("plugins.output_depth_max", "Nesting of the data in an answer."),
    ("plugins.split_max", "Events that one event may be split into."),
    ("plugins.fields_max", "Attributes, and headers, of one replacement."),
    ("plugins.about_bytes_max", "Description and config schema together."),
    ("plugins.log_lines_max", "Log lines that are kept of one call."),
    ("plugins.log_bytes_max", "Log text that is kept of one call, in bytes."),
    ("plugins.reason_bytes_max", "The reason of a drop or a problem is cut after this."),
    ("plugins.upload_bytes_max", "The largest module or component that is taken."),
    (
        "plugins.upload_wait_ms",
        "How long an upload's answer waits for the compiler; then it is 202.",
    ),
    (
        "plugins.compiles_max",
        "Uploads that are compiled at once, each of another tenant; 0 for half of the cores, but at least two.",
    ),
    (
        "plugins.uploads_waiting_max",
        "Uploads of all tenants that wait for the compiler or are in it; more are refused with 503.",
    ),
    (
        "plugins.uploads_waiting_bytes_max",
        "Bytes of all of these together, of which a tenant may use half of what others leave; at least twice `upload_bytes_max`.",
    ),
    (
        "plugins.tenant_uploads_waiting_max",
        "Uploads of one tenant that wait for the compiler or are in it; more are refused with 503.",
    ),
    (
        "plugins.tenant_uploads_waiting_bytes_max",
        "Bytes of all of these together; at least `upload_bytes_max`.",
    ),
    ("plugins.compile_time_ms", "How long one may be compiled before it is given up."),
    (
        "plugins.compile_cpu_s_max",
        "Processor time of one compilation, on all its threads, in seconds.",
    ),
    (
        "plugins.compile_memory_bytes_max",
        "Address space of the process that compiles one upload; at least 256 MiB.",
    ),
    ("plugins.code_bytes_max", "Machine code that is made of one upload."),
    ("plugins.upload_modules_max", "Core modules in one upload."),
    (
        "plugins.upload_functions_max",
        "Functions of all modules of an upload, and functions that they import.",
    ),
    ("plugins.upload_locals_max", "Parameters and locals of all functions of an upload."),
    (
        "plugins.upload_items_max",
        "Types of all modules of an upload; and as many imports, exports, globals, tables, memories, tags, element segments and data segments.",
    ),
    ("plugins.upload_elements_max", "Elements that all modules of an upload put into tables."),
    ("plugins.upload_core_instances_max", "Core instances that an upload makes."),
    (
        "plugins.component_items_max",
        "Types, imports, exports, aliases, instances and functions of all components of an upload.",
    ),
    ("plugins.component_depth_max", "Nesting of components in an upload."),
    ("plugins.type_values_max", "Parameters and results of one function or block type."),
    ("plugins.function_bytes_max", "Length of one function."),
    ("plugins.function_locals_max", "Parameters and locals of one function."),
    ("plugins.function_blocks_max", "Blocks and branches of one function."),
    ("plugins.function_targets_max", "Targets of all `br_table` of one function."),
    ("plugins.function_depth_max", "Nesting of blocks in one function."),
    ("plugins.function_loop_depth_max", "Nesting of loops in one function."),
    ("plugins.function_operands_max", "Height of the operand stack in one function."),
    (
        "plugins.function_values_max",
        "Operands that the instructions of one function take and give.",
    ),
    (
        "plugins.function_weight_max",
        "Locals and height of the operand stack, together, times blocks and branches of one function.",
    ),
    ("plugins.cache_bytes_max", "Compiled code that is kept in the data folder, in bytes."),
    (
        "plugins.breaker_failures_max",
        "Failures in a row after which a plugin is paused; 0 for never.",
    ),
    ("plugins.breaker_pause_ms", "How long it is paused before one call tries again."),
    (
        "plugins.metrics_plugins_max",
        "Plugins with figures of their own in `/metrics`; the others are counted together.",
    ),
    ("plugins.override_call_time_ms_max", "What an override may raise `call_time_ms` to."),
    ("plugins.override_output_bytes_max", "What an override may raise `output_bytes_max` to."),
    ("plugins.override_log_lines_max", "What an override may raise `log_lines_max` to."),
    ("plugins.override_log_bytes_max", "What an override may raise `log_bytes_max` to."),
    (
        "plugins.overrides",
        "Other limits for single plugins: `[{plugin, tenant, call_time_ms, …}]`, see docs/plugins.md.",
    ),
    ("templates.source_bytes_max", "Longest text of a template."),
    ("templates.tags_max", "Most `{{tags}}` in one template."),
    (
        "templates.depth_max",
        "Deepest nesting of blocks, of subexpressions, and of JSON written out in a template.",
    ),
    ("templates.output_bytes_max", "Longest rendered text, and longest value a helper may make."),
    ("templates.turns_max", "Most loop turns of one rendering, all loops together."),
    (
        "templates.work_max",
        "Most work of one rendering: tags run, keys looked at, bytes read and made by helpers.",
    ),
];

pub(crate) fn run(arguments: &Arguments, screen: Screen) -> anyhow::Result<()> {
    if arguments.markdown {
        screen.line(markdown().trim_end());
        return Ok(());
    }
    let config = serde_json::to_value(arguments.options.load(&[], environment())?)?;
    for setting in settings() {
        let value = shown(&setting.path, at(&config, &setting.path));
        let variable = Config::variable(&setting.path);
        if screen.is_text() {
            let style = if value == setting.default { DIM } else { GREEN };
            screen.line(&format!(
                "{} {}",
                screen.paint(BOLD, &setting.path),
                screen.paint(DIM, &variable)
            ));
            screen.line(&format!("  {}", setting.explanation));
            let default = if value == setting.default {
                String::new()
            } else {
                format!(", default {}", setting.default)
            };
            screen.line(&screen.paint(style, &format!("  {value}{default}")));
        } else {
            screen.json(&json!({"path": setting.path, "variable": variable, "value": value,
                "default": setting.default, "explanation": setting.explanation}));
        }
    }
    Ok(())
}

/// Paths of all settings in order, taken from the configuration rather than from its explanations.
pub(crate) fn paths() -> Vec<String> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut paths = Vec::new();
    for (group, fields) in defaults.as_object().into_iter().flatten() {
        let fields = fields.as_object().into_iter().flatten();
        paths.extend(fields.map(|(field, _)| format!("{group}.{field}")));
    }
    paths
}

/// All settings with explanation and default.
fn settings() -> Vec<Setting> {
    let explained = Config::settings();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let setting = |path: String| {
        if let Some(found) = explained.iter().find(|setting| setting.path == path) {
            return found.clone();
        }
        let said = ELSEWHERE.iter().find(|(name, _)| *name == path);
        Setting {
            explanation: said.map(|(_, text)| (*text).to_owned()).unwrap_or_default(),
            default: at(&defaults, &path).clone(),
            path,
        }
    };
    paths().into_iter().map(setting).collect()
}

fn at<'a>(config: &'a Json, path: &str) -> &'a Json {
    let (group, field) = path.split_once('.').unwrap_or((path, ""));
    &config[group][field]
}

/// The value for display, without the database password.
fn shown(path: &str, value: &Json) -> Json {
    match (path, value.as_str()) {
        ("server.database_url", Some(text)) => {
            masked(text).map_or_else(|| value.clone(), Json::from)
        }
        _ => value.clone(),
    }
}

/// The URL with its password masked, if it has one.
fn masked(url: &str) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.password()?;
    url.set_password(Some("***")).ok()?;
    Some(url.into())
}

/// Generates the page docs/configuration.md.
fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let settings = settings();
    for (group, purpose) in GROUPS {
        page.push_str(&format!("\n## {group}\n\n{purpose}\n\n"));
        page.push_str("| setting | default | variable | meaning |\n|---|---|---|---|\n");
        for setting in settings.iter().filter(|s| s.path.split('.').next() == Some(group)) {
            let name = setting.path.split_once('.').map_or("", |(_, name)| name);
            let default = match &setting.default {
                Json::String(text) if text.is_empty() => "empty".to_owned(),
                Json::String(text) => format!("`{text}`"),
                Json::Number(number) => format!("`{number}`{}", spelt(name, number)),
                other => format!("`{other}`"),
            };
            let explanation = setting.explanation.replace('|', "\\|");
            let variable = Config::variable(&setting.path);
            page.push_str(&format!("| `{name}` | {default} | `{variable}` | {explanation} |\n"));
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

Every setting has a default that works. A flag of `antar serve` counts before the environment, that before
the file, and that before the default. All of it is checked at start, and what is wrong is named.

```sh
antar serve --config antar.yaml --listen 0.0.0.0:8090
ANTAR_INTAKE_EVENTS_MAX=100 antar serve
antar config --config antar.yaml          # every setting, with what it is now
```

The file is YAML, with the groups below. What it does not name keeps its default; a name that is not known is
refused.

```yaml
server:
  listen: 0.0.0.0:8090
  data_dir: /var/lib/antar
  public_url: https://hooks.example.com
delivery:
  allowed_networks: [10.0.0.0/8]
```

In a variable, lists are JSON: `ANTAR_DELIVERY_ALLOWED_NETWORKS='[\"10.0.0.0/8\"]'`. `ANTAR_CONFIG` names the file,
and `ANTAR_SECRETS_KEY` holds the key that encrypts secrets, where it is not in the data folder. Units stand at the
end of a name: `_ms` are milliseconds, `bytes` are bytes.

This page is made by `antar config --markdown`.
";

/// `(24 h)`, `(4 MiB)`: a large number in a readable unit.
fn spelt(name: &str, number: &serde_json::Number) -> String {
    let Some(value) = number.as_u64() else { return String::new() };
    let units: &[(u64, &str)] = if name.contains("_ms") {
        &[(3_600_000, "h"), (60_000, "min"), (1_000, "s")]
    } else if name.contains("bytes") {
        &[(1 << 20, "MiB"), (1 << 10, "KiB")]
    } else {
        &[]
    };
    let unit = units.iter().find(|(size, _)| value >= *size && value.is_multiple_of(*size));
    unit.map(|(size, unit)| format!(" ({} {unit})", value / size)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_explained_in_a_group() {
        for setting in settings() {
            assert!(setting.explanation.ends_with('.'), "{} is not explained", setting.path);
            let group = setting.path.split('.').next().unwrap();
            assert!(GROUPS.iter().any(|(name, _)| *name == group), "{group} has no heading");
        }
    }

    #[test]
    fn what_is_said_is_said_once_and_of_a_setting() {
        for (path, _) in ELSEWHERE {
            assert!(paths().iter().any(|p| p == path), "{path} is no setting");
            assert!(
                Config::settings().iter().all(|s| s.path != *path),
                "{path} is explained twice"
            );
        }
    }

    #[test]
    fn the_page_is_the_one_in_docs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == markdown(), "run: antar config --markdown > docs/configuration.md");
    }

    #[test]
    fn the_password_of_the_database_is_not_shown() {
        let value = "postgres://antar:geheim@db/antar".into();
        assert_eq!(shown("server.database_url", &value), "postgres://antar:***@db/antar");
    }
}
