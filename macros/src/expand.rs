//! What the attributes make of a function, and what they say of one that they can't be for.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Meta, Result, ReturnType, Signature, Token, Type};

/// The methods of `coro::Builder` that are options.
const OPTIONS: [&str; 9] = [
    "workers",
    "max_coroutines",
    "policy",
    "grace",
    "trace",
    "deadlock_notice",
    "dump_on_quit",
    "crash_report",
    "crash_report_to",
];

/// Which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Attribute::Main => "#[coro::main]",
            Attribute::Test => "#[coro::test]",
        }
    }
}

/// The function as it is to be; or, beside the function as it is, an error.
pub(crate) fn expand(attribute: Attribute, options: TokenStream, function: TokenStream) -> TokenStream {
    try_expand(attribute, options, function.clone()).unwrap_or_else(|error| {
        let error = error.to_compile_error();
        // With it, or else the compiler would also miss a function of that name.
        quote!(#error #function)
    })
}

fn try_expand(attribute: Attribute, options: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let name = attribute.name();
    let span = function.span();
    let function: ItemFn = syn::parse2(function)
        .map_err(|error| Error::new(span, format!("{name} is for a function, and this is none: {error}")))?;
    check(name, &function.sig)?;
    let options = builder_calls(name, options)?;
    let ItemFn { attrs, vis, sig, block } = function;
    let (function, result) = (&sig.ident, &sig.output);
    let mut tell = quote!();
    let (test, start) = match attribute {
        Attribute::Main => match returned(&sig).filter(|_| function == "main") {
            Some(returned) => {
                tell = quote! {
                    , |returned: &#returned| {
                        use ::coro::attributes::AnyReturned as _;
                        ::coro::attributes::Returned(returned).tell()
                    }
                };
                (quote!(), quote!(start_program))
            }
            None => (quote!(), quote!(start_main)),
        },
        Attribute::Test => (quote!(#[::core::prelude::v1::test]), quote!(start_test)),
    };
    Ok(quote! {
        #test
        #(#attrs)*
        #vis #sig {
            fn #function() #result #block
            ::coro::attributes::#start(::coro::Builder::new() #(#options)*, #function #tell)
        }
    })
}

/// The type that a function returns, if it can be named elsewhere.
fn returned(signature: &Signature) -> Option<TokenStream> {
    match &signature.output {
        ReturnType::Default => Some(quote!(())),
        ReturnType::Type(_, returned) => match &**returned {
            Type::ImplTrait(_) | Type::Never(_) => None,
            named => Some(quote!(#named)),
        },
    }
}

fn check(name: &str, signature: &Signature) -> Result<()> {
    let refuse = |what: &dyn Spanned, why: &str| Err(Error::new(what.span(), format!("{name} {why}")));
    if let Some(word) = &signature.asyncness {
        return refuse(word, "is for a plain function: in a coroutine everything may wait, without `async`");
    }
    if let Some(word) = &signature.constness {
        return refuse(word, "is for a plain function, and none that is `const`");
    }
    if let Some(word) = &signature.unsafety {
        return refuse(word, "is for a plain function, and none that is `unsafe`: the runtime calls it");
    }
    if let Some(word) = &signature.abi {
        return refuse(word, "is for a plain function, and none that is `extern`");
    }
    if !signature.inputs.is_empty() {
        return refuse(
            &signature.inputs,
            "is for a function without arguments: the runtime calls it, and has none to give",
        );
    }
    if !signature.generics.params.is_empty() {
        return refuse(&signature.generics, "is for a function that isn't generic: the runtime calls it");
    }
    Ok(())
}

/// A method call for each option.
fn builder_calls(name: &str, options: TokenStream) -> Result<Vec<TokenStream>> {
    let options = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(options).map_err(|error| {
        let what = format!("the options of {name} are like `workers = 2, dump_on_quit`: {error}");
        Error::new(error.span(), what)
    })?;
    let mut seen: Vec<Ident> = Vec::new();
    let mut calls = Vec::new();
    for option in options {
        let key = option.path().get_ident().filter(|key| OPTIONS.iter().any(|known| *key == known)).cloned();
        let Some(key) = key else {
            let what =
                format!("{name} has no such option; it has those of coro::Builder: {}", OPTIONS.join(", "));
            return Err(Error::new(option.path().span(), what));
        };
        if seen.contains(&key) {
            return Err(Error::new(key.span(), format!("{name} is told `{key}` twice")));
        }
        calls.push(match &option {
            Meta::Path(_) => quote!(.#key()),
            Meta::NameValue(option) => {
                let value = &option.value;
                quote!(.#key(#value))
            }
            Meta::List(list) => {
                return Err(Error::new(
                    list.span(),
                    format!("an option of {name} is given as `{key} = value`"),
                ));
            }
        });
        seen.push(key);
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(attribute: Attribute, options: &str, function: &str) -> String {
        try_expand(attribute, options.parse().unwrap(), function.parse().unwrap()).unwrap().to_string()
    }

    fn said(options: &str, function: &str) -> String {
        let (options, function) = (options.parse().unwrap(), function.parse().unwrap());
        try_expand(Attribute::Main, options, function).unwrap_err().to_string()
    }

    fn written(text: &str) -> String {
        text.parse::<TokenStream>().unwrap().to_string()
    }

    #[test]
    fn main_keeps_its_signature_and_attributes_and_starts_a_runtime_with_its_body() {
        assert_eq!(
            expanded(
                Attribute::Main,
                "workers = 2, dump_on_quit",
                "#[allow(a)] pub fn main() -> io::Result<()> { body() }"
            ),
            written(
                "#[allow(a)] pub fn main() -> io::Result<()> {
                    fn main() -> io::Result<()> { body() }
                    ::coro::attributes::start_program(
                        ::coro::Builder::new().workers(2).dump_on_quit(),
                        main,
                        |returned: &io::Result<()> | {
                            use ::coro::attributes::AnyReturned as _;
                            ::coro::attributes::Returned(returned).tell()
                        }
                    )
                }"
            )
        );
    }

    #[test]
    fn function_that_may_be_no_program_only_starts_a_runtime() {
        for (function, body) in
            [("fn serve() -> u8", "1"), ("fn main() -> impl Termination", "()"), ("fn main() -> !", "f()")]
        {
            let name = if function.contains("main") { "main" } else { "serve" };
            assert_eq!(
                expanded(Attribute::Main, "", &format!("{function} {{ {body} }}")),
                written(&format!(
                    "{function} {{
                        {function} {{ {body} }}
                        ::coro::attributes::start_main(::coro::Builder::new(), {name})
                    }}"
                ))
            );
        }
    }

    #[test]
    fn test_is_a_test_and_keeps_what_else_is_said_of_it() {
        assert_eq!(
            expanded(Attribute::Test, "", "#[should_panic] fn fails() {}"),
            written(
                "#[::core::prelude::v1::test] #[should_panic] fn fails() {
                    fn fails() {}
                    ::coro::attributes::start_test(::coro::Builder::new(), fails)
                }"
            )
        );
    }

    #[test]
    fn what_it_is_not_for_is_refused_with_a_reason() {
        for (function, why) in [
            ("async fn main() {}", "in a coroutine everything may wait"),
            ("const fn main() {}", "`const`"),
            ("unsafe fn main() {}", "`unsafe`"),
            ("extern \"C\" fn main() {}", "`extern`"),
            ("fn main(a: u8) {}", "without arguments"),
            ("fn main<T>() {}", "isn't generic"),
            ("struct Main;", "is for a function, and this is none"),
        ] {
            let said = said("", function);
            assert!(said.starts_with("#[coro::main] ") && said.contains(why), "{function}: {said}");
        }
    }

    #[test]
    fn options_that_a_builder_has_not_are_refused() {
        for (options, why) in [
            ("threads = 2", "no such option; it has those of coro::Builder: workers, "),
            ("workers = 2, workers = 3", "told `workers` twice"),
            ("workers(2)", "given as `workers = value`"),
            ("2", "are like `workers = 2, dump_on_quit`"),
        ] {
            let said = said(options, "fn main() {}");
            assert!(said.contains(why), "{options}: {said}");
        }
    }

    #[test]
    fn error_leaves_the_function_where_it_was() {
        let text = expand(
            Attribute::Main,
            quote!(),
            quote!(
                async fn main() {}
            ),
        )
        .to_string();
        assert!(text.contains("compile_error") && text.ends_with(&written("async fn main() {}")), "{text}");
    }
}
