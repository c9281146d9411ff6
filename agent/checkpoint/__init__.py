"""What survives a crash: series, clients and alerts as blobs of one transaction, under the offset they were counted
to. meta.py names the blobs, windows.py and series.py turn state into bytes and back, plan.py writes what changed.
"""
