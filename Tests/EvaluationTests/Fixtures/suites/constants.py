"""Texts in the form of RULER's constants.py."""

TASKS = {
    'niah': {
        'tokens_to_generate': 128,
        'template': """Some {type_needle_v} are here.\n{context}\nWhat are all {type_needle_v} for {query}?""",
        'answer_prefix': """ They are"""
    },

    'variable_tracking': {
        'tokens_to_generate': 30,
        'template': """Track.\n\n{context}\nQuestion: which have "{query}"?""",
        'answer_prefix': """ {num_v} have {query}: """
    },
    'common_words_extraction': {'template': "List:\n{context}\nQuestion?", 'answer_prefix': ' Ten:'},
    'freq_words_extraction' : {'template': '''Read.
{context}
Question?''', 'answer_prefix': " Three:"},
    'qa': {'template': "Documents:\n\n{context}\n\nQuestion: {query}", 'answer_prefix': """ A:""",},
}
