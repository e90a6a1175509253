"""gristmill.filters"""
