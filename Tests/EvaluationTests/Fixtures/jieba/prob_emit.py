from __future__ import unicode_literals

P={'B': {'\u7f51': -1.0},
 'E': {'\u6613': -1.0},
 'M': {},
 'S': {'的': -1.0}}
