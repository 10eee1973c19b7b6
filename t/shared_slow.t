#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A member of a shared subscription that does not acknowledge, or does not
# read, costs the others nothing: they get its messages, as long as one of them
# takes any.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 4 * 7 + 7 + 3;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => spread_server(<<'END'));
        mqtt_send_window 4;
        mqtt_max_queued 10;
        mqtt_output_buffer 64k;
END
$t->run;

my @workers = sort { $a <=> $b } $t->worker_pids;
my @publishers = map { client_on($t, $_) } @workers;

for my $n (0 .. 3) {
    my ($from, $second) = map { $n >> $_ & 1 } 0 .. 1;
    my $name = "from worker $from to 0 and $second";

    my $stalled = client_on($t, $workers[0], auto_ack => 0);
    my $healthy = client_on($t, $workers[$second]);

    $_->subscribe('$share/g/s' => 1) for $stalled, $healthy;

    my %got = (healthy => []);

    for (1 .. 100) {
        publish($from, 's', $_);

        my %new = collect(0, healthy => $healthy);
        push @{ $got{healthy} }, @{ $new{healthy} };
    }

    my %window = collect(4, stalled => $stalled);
    is(@{ $window{stalled} }, 4, "$name: its window");

    # a message finds out that the window is full, if there is nobody beside it
    # in its worker; others may be on their way then

    my $held = 100 - @{ $got{healthy} };

    ok($second ? $held >= 4 && $held <= 8 : $held == 4,
       "$name: the others go on") or diag("$held of 100");

    # it wakes up, and has its turns again

    $stalled->{auto_ack} = 1;
    ack($stalled);

    my %rest = collect($held - 4, stalled => $stalled);
    is(@{ $rest{stalled} }, $held - 4, "$name: what has waited");

    is_deeply([ sort { $a <=> $b } @{ $got{healthy} }, @{ $window{stalled} },
                                   @{ $rest{stalled} } ],
              [ 1 .. 100 ], "$name: each once");

    publish($from, 's', $_) for 1 .. 4;

    my %both = collect(4, stalled => $stalled, healthy => $healthy);
    is(join(' ', map { scalar @$_ } values %both), '2 2', "$name: woken up");

    # it sleeps again, and leaves

    $stalled->{auto_ack} = 0;

    $got{healthy} = [];

    for (1 .. 40) {
        publish($from, 's', $_);

        my %new = collect(0, healthy => $healthy);
        push @{ $got{healthy} }, @{ $new{healthy} };
    }

    $stalled->close;

    my %left = collect(40 - @{ $got{healthy} }, healthy => $healthy);

    is_deeply([ sort { $a <=> $b } @{ $got{healthy} }, @{ $left{healthy} } ],
              [ 1 .. 40 ], "$name: the other one gets all of the rest");
    is(join(' ', map { $_->{dup} } @{ $healthy->{got} }),
       join(' ', map { 0 } @{ $healthy->{got} }), "$name: for the first time");

    $healthy->disconnect;

    wait_for { $t->total('subscriptions') == 0 };
}

# all of them are stalled: each takes what it may, and is not closed

my @stalled = map { client_on($t, $_, auto_ack => 0) } @workers;

$_->subscribe('$share/g/s' => 1) for @stalled;

my $dropped = $t->total('messages_out_dropped');
my $slow = $t->total('slow_clients');

publish($_ % 2, 's', $_) for 1 .. 100;

ok((wait_for { $t->total('messages_out_dropped') - $dropped == 72 }),
   'all stalled: what nobody takes is dropped and counted')
    or diag($t->total('messages_out_dropped') - $dropped);
ok($t->wait_log(qr/\[warn\].*no member of a shared .* takes a message/),
   'all stalled: logged');

my @got;

for my $c (@stalled) {
    my %got = collect(4, c => $c);

    $c->{auto_ack} = 1;
    ack($c);

    my %rest = collect(10, c => $c);

    is(@{ $got{c} } + @{ $rest{c} }, 14, 'all stalled: window and queue');
    push @got, @{ $got{c} }, @{ $rest{c} };
}

is(scalar(keys %{ { map { $_ => 1 } @got } }), 28, 'all stalled: each once');
is($t->total('slow_clients'), $slow, 'all stalled: nobody is closed');

publish(0, 's', $_) for 1 .. 10;

my %got = collect(10, a => $stalled[0], b => $stalled[1]);
is(join(' ', map { scalar @$_ } values %got), '5 5',
   'all stalled: not for ever');

$_->disconnect for @stalled;
wait_for { $t->total('subscriptions') == 0 };

# QoS 0 and a member that does not read

my $mute = client_on($t, $workers[0], receive_buffer => 65536);
my $reader = client_on($t, $workers[1]);

$_->subscribe('$share/g/s' => 0) for $mute, $reader;

$dropped = $t->total('messages_out_dropped');

my %count = (reader => 0);

for my $n (1 .. 800) {
    publish($n % 2, 's', $n . 'x' x 20000);

    if ($n % 20 == 0) {
        my %new = collect(0, reader => $reader);
        $count{reader} += @{ $new{reader} };
    }
}

my %rest = collect(800 - $count{reader}, reader => $reader, mute => $mute);

cmp_ok($count{reader}, '>', 401, 'QoS 0: more to whom reads');
is($count{reader} + @{ $rest{reader} } + @{ $rest{mute} }, 800,
   'QoS 0: all come');
is($t->total('messages_out_dropped'), $dropped, 'QoS 0: none is dropped');

###############################################################################

sub publish {
    my ($from, $topic, $payload) = @_;

    $publishers[$from]->publish_wait($topic, $payload, qos => 1);
}


# what collect() has read without an answer

sub ack {
    my ($c) = @_;

    $c->send(PUBACK => packet_id => $_->{packet_id})
        for grep { !$_->{acknowledged} } splice @{ $c->{got} };
}

###############################################################################
