"""Writes fixtures.json: what transformers renders for the chat templates in templates/ and for the snippets in snippets.txt.

Run with a Python that has transformers (>= 5) and jinja2 (>= 3.1.6): python make_fixtures.py
"""

import json
from datetime import datetime
from pathlib import Path

import jinja2
from transformers.utils import chat_template_utils as chat

HERE = Path(__file__).parent
NOW = datetime(2024, 7, 26, 9, 5, 3)


class FixedTime(datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat.datetime = FixedTime

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, in °C — \"now\".",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A city, e.g. Zürich"},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Days <from> now & later"},
                "unit": {"type": ["string", "null"], "enum": ["c", "f"], "description": "Unit's name"},
            },
            "required": ["place"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, identity="abcdefghi"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = message("system", "You are brief.\n")
HELLO = message("user", "Hello")
CONVERSATIONS = {
    "one turn": {"messages": [HELLO]},
    "system and user": {"messages": [SYSTEM, HELLO]},
    "several turns": {
        "messages": [
            SYSTEM, message("user", "  What is 2+2?  "), message("assistant", " 4 "), message("user", "And 3+3?\n"),
            message("assistant", "<think>\nEasy.\n</think>\n\n6"), message("user", "Thanks"),
        ]
    },
    "ends with the assistant": {"messages": [HELLO, message("assistant", "Hi there")]},
    "unicode": {"messages": [message("user", "Zürich 東京 👩‍👩‍👧 e\u0301 \u2028 ñ\r\nend\u00a0")]},
    "braces and markers": {
        "messages": [
            message("user", "{{ 7*7 }} {% if x %} {# c #} </s><|im_end|> [INST] \\n \"q\" 'a' <&>"),
            message("assistant", "{}}{%"), message("user", ""),
        ]
    },
    "wrong order": {"messages": [message("assistant", "First!"), HELLO]},
    "two users": {"messages": [HELLO, HELLO]},
    "only system": {"messages": [SYSTEM]},
    "reasoning": {
        "messages": [
            HELLO, message("assistant", "Hi", reasoning_content="They greet.\n"), message("user", "Why?"),
            message("assistant", "Because", reasoning_content="\nHm."),
        ]
    },
    "parts": {"messages": [message("user", [{"type": "text", "text": " Look "}, {"type": "image"}])]},
    "tools": {"messages": [SYSTEM, message("user", "Weather in Zürich?")], "tools": [WEATHER, CLOCK]},
    "tool calls": {
        "messages": [
            message("user", "Weather in Zürich?"),
            message("assistant", "", tool_calls=[call("get_weather", {"place": "Zürich", "days": [0, 1], "x": 1.5, "y": None})]),
            message("tool", "{\"t\": 21.5, \"ok\": true}", name="get_weather", tool_call_id="abcdefghi"),
            message("assistant", "It is 21.5 °C."), message("user", "And now?"),
        ],
        "tools": [WEATHER],
    },
    "parallel tool calls": {
        "messages": [
            HELLO,
            message("assistant", None, tool_calls=[call("clock", {}), call("get_weather", {"place": "Rome"}, "short")]),
            message("tool", "12:00", tool_call_id="abcdefghi"), message("tool", "20", tool_call_id="jklmnopqr"),
        ],
        "tools": [CLOCK],
    },
}

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

# What every snippet can read.
SNIPPET_VARIABLES = {
    "messages": CONVERSATIONS["several turns"]["messages"],
    "tools": [WEATHER],
    "name": "World",
    "text": "The quick brown fox",
    "lines": "one\n  two\n\nthree",
    "n": 7,
    "x": 2.5,
    "big": 9007199254740993,
    "yes": True,
    "no": False,
    "nothing": None,
    "numbers": [3, 1, 2, 3],
    "words": ["pear", "Apple", "fig", "apple"],
    "empty": [],
    "d": {"b": 1, "a": 2, "C": 3, "items": "shadowed", "nested": {"k": [1, {"z": "deep"}]}},
    "people": [
        {"name": "Bob", "age": 30, "city": "NY", "admin": True},
        {"name": "alice", "age": 25, "city": "LA", "admin": False},
        {"name": "Carol", "age": 30, "city": "ny"},
    ],
    "tree": [{"n": "a", "kids": [{"n": "b", "kids": []}, {"n": "c", "kids": [{"n": "d", "kids": []}]}]}],
    "floats": [0.1, 1e16, 1e-5, 123456789.125, -0.0, 1e22, 5e-324, 1.7976931348623157e308, 100.0, 0.0001],
    "odd_text": "tab\t nl\n quote' dq\" back\\ nul\u0000 é \u200b \U0001f600 \u00a0",
}


def outcome(render):
    """The text, or the error and whether the template raised it by itself."""
    try:
        return {"expected": render()}
    except jinja2.exceptions.UndefinedError as error:
        return {"undefined": str(error)}
    except jinja2.exceptions.TemplateError as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return {"raised": str(error)}
        return {"error": f"{type(error).__name__}: {error}"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def chats(templates):
    for name, source in templates.items():
        for title, conversation in CONVERSATIONS.items():
            for prompt in (True, False):
                options = {"add_generation_prompt": prompt, **TOKENS}
                if name == "qwen3" and not prompt:
                    options |= {"add_generation_prompt": True, "enable_thinking": False}
                if name == "llama-3.1" and not prompt:
                    options |= {"tools_in_user_message": False, "date_string": "1 Jan 2025"}

                def render():
                    return chat.render_jinja_template(
                        conversations=[conversation["messages"]], tools=conversation.get("tools"), chat_template=source, **options
                    )[0][0]

                yield {"template": name, "conversation": title, "options": options, **outcome(render)}


def snippets():
    for source in (HERE / "snippets.txt").read_text().split("\n====\n"):
        source = source.removesuffix("\n====")
        yield {"source": source, **outcome(lambda: chat._compile_jinja_template(source).render(**SNIPPET_VARIABLES))}


def main():
    templates = {path.stem: path.read_text().removesuffix("\n") for path in sorted((HERE / "templates").glob("*.jinja"))}
    conversations = {
        title: {
            "messages": chat._alias_reasoning_fields(conversation["messages"]),
            "tools": conversation.get("tools"),
            "documents": None,
        }
        for title, conversation in CONVERSATIONS.items()
    }
    fixture = {
        "versions": {"jinja2": jinja2.__version__, "transformers": __import__("transformers").__version__},
        "now": NOW.isoformat(),
        "templates": templates,
        "conversations": conversations,
        "chats": list(chats(templates)),
        "variables": SNIPPET_VARIABLES,
        "snippets": list(snippets()),
    }
    (HERE / "fixtures.json").write_text(json.dumps(fixture, ensure_ascii=False, indent=0) + "\n")


main()
