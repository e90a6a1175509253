"""gristmill.mixing"""
