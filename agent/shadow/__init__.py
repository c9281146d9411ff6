"""Versions of one model beside each other: do they agree, what do they cost, and which is better?"""
