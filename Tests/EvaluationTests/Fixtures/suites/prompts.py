# Texts in the form of babilong/prompts.py.
TASK_TEMPLATE = '{instruction}\n\n{examples}\n\n{post_prompt}'
USER_TEMPLATE = '<context>\n{context}\n</context>\n\nQuestion: {question}'
DEFAULT_TEMPLATE = f'{TASK_TEMPLATE}\n\n{USER_TEMPLATE}'

DEFAULT_PROMPTS = {
    'qa1': {
        'instruction':
            'Say where the person is. '
            "It\u2019s in the text.",  # two strings
        'examples': '<example>\nAnn is here.\n</example>\n',
        'post_prompt': 'One word.',
    },
}
