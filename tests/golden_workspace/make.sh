#!/usr/bin/env bash
# A workspace of version 0.1.0 on the sample that ships with matplotlib: one run, five evenings
# in the ledger, one backtest. Run with `lstm` of that version; it cannot be made anew later.
#   bash make.sh LSTM FOLDER
set -eu
LSTM=$1; export LSTM_WORKSPACE=$2
SET="--config smoke.yaml --set window.lookback=12 --set window.horizon=4 --set model.units=4 --set training.epochs=1 --set training.learning_rate=0.01"
export LSTM_NOW=2008-10-03T23:00:00+00:00
$LSTM fetch GOOG --source sample -q
$LSTM train GOOG $SET -q >/dev/null
for day in 03 06 07 08 09; do
  LSTM_NOW=2008-10-${day}T23:00:00+00:00 $LSTM daily -q
done
LSTM_NOW=2008-10-15T00:00:00+00:00 $LSTM backtest GOOG $SET --set backtest.folds=1 --set backtest.start=2008-08-15 --workers 1 -q >/dev/null
