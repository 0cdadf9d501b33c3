import Hummingbird

extension Route {
    /// The web interface, which asks for the key itself.
    static let playground = get("/", for: .everyone) { _, _, _ in Playground.response }
}

/// The web interface at /: one prompt, or a chat, with several architectures at once, and a live picture of the pool.
///
/// Its markup, style and script are files of their own beside this one, embedded when the server is built and served as one
/// document that loads nothing else. An address with `#send` sends the form once the models are known;
/// `#send&copies=8&tokens=32&prompt=Hello` fills it in first, `#mode=chat` begins with chats.
enum Playground {
    static var response: Response {
        var response = Response.text(html, type: "text/html; charset=utf-8")
        response.headers[.contentSecurityPolicy] =
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return response
    }

    private static let html = String(decoding: PackageResources.playground_html, as: UTF8.self)
        .replacing(
            #"<link rel="stylesheet" href="playground.css">"#,
            with: "<style>\n" + String(decoding: PackageResources.playground_css, as: UTF8.self) + "</style>"
        )
        .replacing(
            #"<script src="playground.js"></script>"#,
            with: "<script>\n" + String(decoding: PackageResources.playground_js, as: UTF8.self) + "</script>")
}
