//! Expands `#[filter]` and `#[transform]`: from a function to the exports of a component.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta};

/// The output of `wit-bindgen` for the WIT contract, stored as text: generating it takes longer to
/// compile than the rest of a plugin. A test compares it with the contract.
const FILTER: &str = include_str!("../bindings/filter.txt");
const TRANSFORM: &str = include_str!("../bindings/transform.txt");

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Filter,
    Transform,
}

pub(crate) fn expand(kind: Kind, arguments: &TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item) {
        Ok(function) => function,
        Err(e) => return e.to_compile_error(),
    };
    let wrong = check(kind, arguments, &function).map(|e| e.to_compile_error());
    // The function is emitted in either case, so that the compiler reports a single error.
    let more = wrong.unwrap_or_else(|| guest(kind, &function));
    quote! { #function #more }
}

fn check(kind: Kind, arguments: &TokenStream, function: &ItemFn) -> Option<Error> {
    let signature = &function.sig;
    let name = kind.name();
    if !arguments.is_empty() {
        return Some(Error::new_spanned(arguments, format!("#[{name}] takes no arguments")));
    }
    if let Some(token) = &signature.asyncness {
        return Some(Error::new_spanned(token, "a plugin has nothing to wait for: remove `async`"));
    }
    if !signature.generics.params.is_empty() {
        let what = "the event's data and the config need concrete types";
        return Some(Error::new_spanned(&signature.generics, what));
    }
    let receiver = signature.inputs.iter().find(|input| matches!(input, FnArg::Receiver(_)));
    if let Some(receiver) = receiver {
        return Some(Error::new_spanned(receiver, "a plugin is a function, not a method"));
    }
    if !(1..=2).contains(&signature.inputs.len()) {
        let what = format!("write it as `fn {}(event: Event, config: C) -> …`", signature.ident);
        return Some(Error::new_spanned(&signature.ident, what));
    }
    None
}

impl Kind {
    /// The code of the exports, for a module of the plugin.
    fn bindings(self) -> Result<TokenStream, Error> {
        let text = match self {
            Kind::Filter => FILTER,
            Kind::Transform => TRANSFORM,
        };
        text.parse().map_err(|_| Error::new(Span::call_site(), "the SDK's bindings can't be read"))
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Filter => "filter",
            Kind::Transform => "transform",
        }
    }
}

fn guest(kind: Kind, function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let face = format_ident!("{}", kind.name());
    let bindings = kind.bindings().unwrap_or_else(|e| e.to_compile_error());
    let description = description(function);
    let run = run(kind, &face, name);
    quote! {
        // The exports below call the function in WASM only; this checks its types on other targets.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            fn fits(event: ::antar_sdk::Event<::std::string::String>, config: &str) {
                let _ = ::antar_sdk::__private::#face(#name, event, config);
            }
            let _ = fits;
        };

        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        #[expect(unsafe_code, reason = "the exports are made by wit-bindgen")]
        mod __antar_guest {
            use ::antar_sdk::__private;

            #bindings

            use exports::antar::plugin::#face as face;

            struct Plugin;

            impl face::Guest for Plugin {
                fn describe() -> face::About {
                    __private::prepare();
                    face::About {
                        description: #description.into(),
                        config_schema: __private::config_schema(super::#name),
                    }
                }

                #run
            }

            fn event(event: face::Event) -> ::antar_sdk::Event<::std::string::String> {
                ::antar_sdk::Event {
                    id: event.id,
                    event_type: event.event_type,
                    tenant: event.tenant,
                    timestamp: event.timestamp,
                    attributes: event.attributes,
                    data: event.data,
                }
            }

            fn problem(problem: ::antar_sdk::Problem) -> face::Problem {
                match problem {
                    ::antar_sdk::Problem::Retry(reason) => face::Problem::Retry(reason),
                    ::antar_sdk::Problem::Fail(reason) => face::Problem::Fail(reason),
                }
            }

            export!(Plugin);
        }
    }
}

fn run(kind: Kind, face: &Ident, name: &Ident) -> TokenStream {
    match kind {
        Kind::Filter => quote! {
            fn run(
                raw: face::Event,
                config: ::std::string::String,
            ) -> ::core::result::Result<face::Verdict, face::Problem> {
                __private::prepare();
                match __private::#face(super::#name, event(raw), &config) {
                    Ok(::antar_sdk::Verdict::Pass) => Ok(face::Verdict::Pass),
                    Ok(::antar_sdk::Verdict::Drop(reason)) => Ok(face::Verdict::Drop(reason)),
                    Err(e) => Err(problem(e)),
                }
            }
        },
        Kind::Transform => quote! {
            fn run(
                raw: face::Event,
                config: ::std::string::String,
            ) -> ::core::result::Result<face::Outcome, face::Problem> {
                use ::antar_sdk::{Outcome, Replacement};

                fn replacement(r: Replacement) -> antar::plugin::types::Replacement {
                    antar::plugin::types::Replacement {
                        data: r.data.into_text(),
                        event_type: r.event_type,
                        attributes: r.attributes,
                        headers: r.headers,
                    }
                }

                __private::prepare();
                match __private::#face(super::#name, event(raw), &config) {
                    Ok(Outcome::Unchanged) => Ok(face::Outcome::Unchanged),
                    Ok(Outcome::Replace(one)) => Ok(face::Outcome::Replace(replacement(one))),
                    Ok(Outcome::Split(all)) => {
                        Ok(face::Outcome::Split(all.into_iter().map(replacement).collect()))
                    }
                    Ok(Outcome::Drop(reason)) => Ok(face::Outcome::Drop(reason)),
                    Err(e) => Err(problem(e)),
                }
            }
        },
    }
}

/// The doc comment, without the one space at the start of each line.
fn description(function: &ItemFn) -> String {
    let lines = function.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> =
        lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(function: TokenStream) -> String {
        let expanded = expand(Kind::Filter, &TokenStream::new(), function).to_string();
        let Some((_, rest)) = expanded.split_once("compile_error") else { return String::new() };
        rest.split('"').nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn what_can_be_no_plugin_is_told_in_words() {
        assert!(complaint(quote! { async fn f(event: Event) {} }).contains("remove `async`"));
        assert!(complaint(quote! { fn f<D>(event: Event<D>) {} }).contains("concrete types"));
        assert!(complaint(quote! { fn f(&self, event: Event) {} }).contains("not a method"));
        assert!(complaint(quote! { fn f() {} }).contains("fn f(event: Event, config: C)"));
        assert_eq!(complaint(quote! { fn f(event: Event) -> Verdict {} }), "");
    }

    #[test]
    fn the_description_is_the_doc_comment() {
        let function = syn::parse_quote! {
            /// First line.
            ///
            ///     indented
            #[inline]
            fn f(event: Event) {}
        };
        assert_eq!(description(&function), "First line.\n\n    indented");
    }
}
