"""Makes chats.json and chat-tokenizer.json: chats as Hugging Face's transformers writes, encodes and masks them for training.

Run in this folder: python3 make_chats.py (transformers 5.24, tokenizers without PyTorch).
"""
import json

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

tokenizer = Tokenizer.from_file("../byte-level.json")
tokenizer.add_special_tokens([AddedToken("<|im_start|>", normalized=False), AddedToken("<|im_end|>", normalized=False)])
tokenizer.save("chat-tokenizer.json", pretty=False)

MARKED = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}"
    "{%- generation %}{{- m.content + '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}"
    "{%- else %}{{- '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{{- '<|im_start|>assistant\\n' if add_generation_prompt }}"
)
# Without markers around the turns, which begin and end within tokens of the text.
BARE = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- generation %}{{- m.content }}{%- endgeneration %}"
    "{%- else %}{{- m.content }}{%- endif %}{%- endfor %}"
)
LLAMA = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- generation %}{{- ' ' ~ m.content ~ '</s>' }}{%- endgeneration %}"
    "{%- else %}{{- '<s>the ' ~ m.content ~ ' cat' }}{%- endif %}{%- endfor %}"
)
CHATS = [
    [("user", "the cat"), ("assistant", "sat on the mat")],
    [("system", "caf\u00e9 \U0001f600"), ("user", "12"), ("assistant", "\n the hat"), ("user", "the"), ("assistant", "na\u00efve  ")],
    [("assistant", "the"), ("user", "cats"), ("assistant", "th"), ("assistant", "ere")],
    [("user", "the ca"), ("assistant", "t's h"), ("user", "at")],
]


def cases(template, tokenizer_file, **special):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, **special)
    tokenizer.chat_template = template
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        found = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        yield {
            "messages": messages,
            "text": tokenizer.apply_chat_template(messages, tokenize=False),
            "ids": found["input_ids"],
            "mask": found["assistant_masks"],
        }


json.dump(
    [
        {"template": MARKED, "tokenizer": "corpora/chat-tokenizer.json", "chats": list(cases(MARKED, "chat-tokenizer.json"))},
        {"template": BARE, "tokenizer": "corpora/chat-tokenizer.json", "chats": list(cases(BARE, "chat-tokenizer.json"))},
        {"template": LLAMA, "tokenizer": "sentencepiece.json", "chats": list(cases(LLAMA, "../sentencepiece.json"))},
    ],
    open("chats.json", "w"), indent=None, separators=(",", ":"))
