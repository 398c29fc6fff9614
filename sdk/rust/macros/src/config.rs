//! Expands `#[derive(Config)]`: makes a type readable and gives it a JSON Schema.
//!
//! A derive can't add further derives to its type. So it emits a hidden copy of the type with the
//! derives of serde and schemars; serde's has the real type as `remote`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Lit, LitStr, Token,
    parse::{Parse, ParseStream},
};

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    syn::parse2(item).and_then(derive).unwrap_or_else(|e| e.to_compile_error())
}

fn derive(mut input: DeriveInput) -> Result<TokenStream, Error> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a config needs concrete types"));
    }
    let mut defaults = Vec::new();
    for field in fields(&mut input.data)? {
        read_default(field, &mut defaults)?;
    }
    if let Some(attribute) = input.attrs.iter().find(|a| a.path().is_ident("config")) {
        return Err(Error::new_spanned(attribute, "#[config(…)] stands on fields"));
    }
    let kept = |attribute: &Attribute| {
        ["doc", "serde", "schemars"].iter().any(|name| attribute.path().is_ident(name))
    };
    input.attrs.retain(kept);
    let name = std::mem::replace(&mut input.ident, format_ident!("Shadow"));
    let text = name.to_string();
    Ok(quote! {
        const _: () = {
            use ::antar_sdk::__private::{schemars, serde};

            #(#defaults)*

            #[derive(serde::Deserialize, schemars::JsonSchema)]
            #[serde(
                crate = "::antar_sdk::__private::serde",
                remote = #text,
                deny_unknown_fields
            )]
            #[schemars(crate = "::antar_sdk::__private::schemars")]
            #input

            impl<'de> serde::Deserialize<'de> for #name {
                fn deserialize<D: serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    Shadow::deserialize(deserializer)
                }
            }

            impl schemars::JsonSchema for #name {
                fn schema_name() -> ::std::borrow::Cow<'static, str> {
                    #text.into()
                }

                fn schema_id() -> ::std::borrow::Cow<'static, str> {
                    ::core::concat!(::core::module_path!(), "::", #text).into()
                }

                fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    <Shadow as schemars::JsonSchema>::json_schema(generator)
                }
            }

            impl ::antar_sdk::Config for #name {}
        };
    })
}

fn fields(data: &mut Data) -> Result<Vec<&mut Field>, Error> {
    match data {
        Data::Struct(data) => Ok(data.fields.iter_mut().collect()),
        Data::Enum(data) => {
            Ok(data.variants.iter_mut().flat_map(|variant| variant.fields.iter_mut()).collect())
        }
        Data::Union(data) => Err(Error::new(data.union_token.span, "a config is no union")),
    }
}

/// The content of `#[config(…)]`.
struct Default(Option<Expr>);

impl Parse for Default {
    fn parse(input: ParseStream<'_>) -> Result<Default, Error> {
        let word: syn::Ident = input.parse()?;
        if word != "default" {
            let what = "write #[config(default)] or #[config(default = VALUE)]";
            return Err(Error::new_spanned(word, what));
        }
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Default(value))
    }
}

/// Replaces `#[config(…)]` by serde's `default`, and adds its function to `functions`.
fn read_default(field: &mut Field, functions: &mut Vec<TokenStream>) -> Result<(), Error> {
    let Some(at) = field.attrs.iter().position(|a| a.path().is_ident("config")) else {
        return Ok(());
    };
    let attribute = field.attrs.remove(at);
    let Default(value) = attribute.parse_args()?;
    let Some(value) = value else {
        field.attrs.push(syn::parse_quote! { #[serde(default)] });
        return Ok(());
    };
    // A string literal is written as such, for every field type that it converts into.
    let value = match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            quote! { ::core::convert::Into::into(#text) }
        }
        other => quote! { #other },
    };
    let function = format_ident!("default_{}", functions.len());
    let path = LitStr::new(&function.to_string(), function.span());
    let kind = &field.ty;
    functions.push(quote! { fn #function() -> #kind { #value } });
    field.attrs.push(syn::parse_quote! { #[serde(default = #path)] });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(item: TokenStream) -> String {
        let expanded = expand(item).to_string();
        let Some((_, rest)) = expanded.split_once("compile_error") else { return String::new() };
        rest.split('"').nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn what_can_be_no_config_is_told_in_words() {
        assert!(complaint(quote! { struct C<T> { a: T } }).contains("concrete types"));
        assert!(complaint(quote! { union C { a: u8 } }).contains("no union"));
        let unknown = quote! { struct C { #[config(optional)] a: u8 } };
        assert!(complaint(unknown).contains("#[config(default = VALUE)]"));
        assert!(complaint(quote! { #[config(default)] struct C { a: u8 } }).contains("on fields"));
        assert_eq!(complaint(quote! { struct C { #[config(default = 7)] a: u8 } }), "");
    }
}
